"""The ring changes and nobody reads: what a node holds is with its new owner afterwards."""

import cluster as live
import reading

FILES = ("--generate", "data/set/,count=300,size=16KiB-400KiB,seed=3",
         "--generate", "data/set/big/,count=4,size=24MiB,seed=4")


def start(cluster, nodes=4, **options):
    """A cluster that holds all of a dataset; nobody reads any more."""
    origin = cluster.origin(*FILES)
    cluster.nodes(nodes, **options)
    cluster.dataset("set", "s3://data/set/")
    sums = reading.truth(origin, "set/")
    origin.reset()
    assert read_all(cluster, sums) == []
    assert reading.data_gets(origin)[1] == sum(size for size, _ in sums.values())
    return origin, sums


def read_all(cluster, sums):
    """By a new mount: nothing comes from what an earlier one has kept."""
    reader = reading.Reader(cluster.mount("set").dir, sorted(sums), sums)
    reader.start()
    reader.join(300)
    assert not reader.is_alive(), "a read hangs"
    return reader.faults


def read_again(cluster, origin, sums):
    """Bytes of the source that reading everything once more took."""
    before = reading.data_gets(origin)[1]
    assert read_all(cluster, sums) == []
    return reading.data_gets(origin)[1] - before


def test_what_a_leaving_node_held_is_with_its_new_owners_when_it_is_gone(cluster):
    origin, sums = start(cluster)
    assert cluster.busiest().stop() == 0
    cluster.wait_agreed()
    assert read_again(cluster, origin, sums) == 0
