#include "tests/unit/gossip/net.h"

#include "gossip/datagram.h"
#include "gossip/seal.h"

static struct node_id id_of(uint8_t byte)
{
    struct node_id id;
    memset(id.b, byte, sizeof id.b);
    return id;
}

static struct datagram_head some_head(void)
{
    return (struct datagram_head){ .kind = DATAGRAM_RELAYED,
                                   .number = 0x01020304u,
                                   .incarnation = 5,
                                   .about = 6,
                                   .digest = 7,
                                   .catalog = 8,
                                   .target = id_of(9) };
}

static struct member some_member(void)
{
    struct member member = { .id = id_of(1), .incarnation = 2, .weight = 3 };
    strcpy(member.name, "node");
    return member;
}

/* One section of each kind. */
static struct span write_everything(uint8_t *buffer)
{
    struct datagram d;
    struct datagram_head head = some_head();
    struct member member = some_member();
    struct datagram_state dead = { .id = id_of(2),
                                   .incarnation = 4,
                                   .state = MEMBER_DEAD,
                                   .how = { .is_news = true, .wait_us = MSEC(300) } };
    const struct telling how = { .ready = true };
    struct datagram_votes votes = { .subject = id_of(3), .incarnation = 8, .count = 2 };
    uint64_t sums[DATAGRAM_BUCKETS];
    votes.vote[0] = (struct datagram_vote){ .observer = id_of(4), .number = 11, .down = true };
    votes.vote[1] = (struct datagram_vote){ .observer = id_of(5), .number = 12 };
    for (uint32_t i = 0; i < DATAGRAM_BUCKETS; i++) {
        sums[i] = 1000 + i;
    }
    datagram_begin(&d, buffer, SEAL_BODY_MAX, &head);
    assert_true(datagram_add_record(&d, &member, how));
    assert_true(datagram_add_state(&d, &dead));
    assert_true(datagram_add_votes(&d, &votes));
    assert_true(datagram_add_sums(&d, sums));
    assert_true(datagram_add_mask(&d, 0xf0f0));
    return span_of(buffer, d.used);
}

static void everything_comes_back_as_it_was(void **state)
{
    (void)state;
    uint8_t buffer[SEAL_BODY_MAX];
    struct datagram_head head;
    struct datagram_head expected = some_head();
    struct datagram_section section;
    struct span rest;
    assert_true(datagram_open(write_everything(buffer), &head, &rest));
    assert_int_equal(head.kind, expected.kind);
    assert_int_equal(head.number, expected.number);
    assert_true(head.incarnation == 5 && head.about == 6 && head.digest == 7 && head.catalog == 8);
    assert_true(node_id_equal(head.target, expected.target));
    assert_true(datagram_next(&rest, &section));
    assert_int_equal(section.tag, DATAGRAM_RECORD);
    assert_true(section.record.how.ready && !section.record.how.is_news);
    assert_int_equal(section.record.how.wait_us, 0);
    assert_string_equal(section.record.member.name, "node");
    assert_true(datagram_next(&rest, &section));
    assert_int_equal(section.tag, DATAGRAM_STATE);
    assert_int_equal(section.state.state, MEMBER_DEAD);
    assert_int_equal(section.state.incarnation, 4);
    assert_true(section.state.how.is_news && !section.state.how.ready);
    assert_in_range(section.state.how.wait_us, MSEC(300), MSEC(332)); /* rounded up */
    assert_true(datagram_next(&rest, &section));
    assert_int_equal(section.tag, DATAGRAM_VOTES);
    assert_int_equal(section.votes.count, 2);
    assert_true(node_id_equal(section.votes.vote[1].observer, id_of(5)));
    assert_true(section.votes.vote[0].down && !section.votes.vote[1].down);
    assert_int_equal(section.votes.vote[0].number, 11);
    assert_true(datagram_next(&rest, &section));
    assert_int_equal(section.tag, DATAGRAM_SUMS);
    assert_int_equal(section.sums[63], 1063);
    assert_true(datagram_next(&rest, &section));
    assert_int_equal(section.tag, DATAGRAM_MASK);
    assert_int_equal(section.mask, 0xf0f0);
    assert_false(datagram_next(&rest, &section));
}

/* The sections of keys, in a packet of their own. */
static struct span write_keys(uint8_t *buffer)
{
    static const uint8_t sealed[40] = { 1, 2, 3 };
    static const uint8_t entries[] = { 7, 5, 0, 1, 2, 3, 4, 0x19, 0x02, 9, 0, 0, 5, 6, 7, 8 };
    struct datagram d;
    struct datagram_head head = { .kind = DATAGRAM_KEYS_GIVE };
    const struct datagram_newest newest = { .era = 1, .number = 2, .id = { .v = 3 }, .ttl_s = 8 };
    const struct datagram_stages stages = { .key = { .v = 4 },
                                            .entries = span_of(entries, sizeof entries) };
    const struct datagram_box box = { .public_key = { 5 },
                                      .nonce = 6,
                                      .sealed = span_of(sealed, sizeof sealed) };
    datagram_begin(&d, buffer, SEAL_BODY_MAX, &head);
    assert_true(datagram_add_newest(&d, &newest));
    assert_true(datagram_add_stages(&d, &stages));
    assert_true(datagram_add_public(&d, box.public_key));
    assert_true(datagram_add_box(&d, &box));
    return span_of(buffer, d.used);
}

/* The version before wrote 16 bytes of it: no time. */
static void a_newest_key_without_a_time_is_read(void **state)
{
    (void)state;
    uint8_t buffer[SEAL_BODY_MAX];
    struct datagram d;
    struct datagram_head head = { .kind = DATAGRAM_SPREAD };
    struct datagram_section section;
    struct span rest;
    const struct datagram_newest newest = { .era = 1, .number = 2, .id = { .v = 3 }, .ttl_s = 8 };
    datagram_begin(&d, buffer, sizeof buffer, &head);
    const size_t at = d.used;
    assert_true(datagram_add_newest(&d, &newest));
    assert_int_equal(get_u16(buffer + at + 1), 20);
    put_u16(buffer + at + 1, 16);
    assert_true(datagram_open(span_of(buffer, d.used - 4), &head, &rest));
    assert_true(datagram_next(&rest, &section));
    assert_true(section.newest.number == 2 && section.newest.id.v == 3);
    assert_int_equal(section.newest.ttl_s, 0);
    assert_false(datagram_next(&rest, &section));
}

static void sections_of_keys_come_back_as_they_were(void **state)
{
    (void)state;
    uint8_t buffer[SEAL_BODY_MAX];
    struct datagram_head head;
    struct datagram_section section;
    struct datagram_bucket bucket;
    struct span rest;
    assert_true(datagram_open(write_keys(buffer), &head, &rest));
    assert_int_equal(head.kind, DATAGRAM_KEYS_GIVE);
    assert_true(datagram_next(&rest, &section));
    assert_int_equal(section.tag, DATAGRAM_KEYS_NEWEST);
    assert_true(section.newest.era == 1 && section.newest.number == 2 && section.newest.id.v == 3);
    assert_int_equal(section.newest.ttl_s, 8);
    assert_true(datagram_next(&rest, &section));
    assert_int_equal(section.tag, DATAGRAM_KEYS_STAGES);
    assert_true(section.stages.key.v == 4);
    assert_true(datagram_next_bucket(&section.stages.entries, &bucket));
    assert_true(bucket.bucket == 7 && bucket.count == 5 && bucket.sum == 0x04030201);
    assert_true(bucket.stages[0] == 0x19 && bucket.stages[1] == 2);
    assert_true(datagram_next_bucket(&section.stages.entries, &bucket));
    assert_true(bucket.bucket == 9 && bucket.count == 0);
    assert_false(datagram_next_bucket(&section.stages.entries, &bucket));
    assert_true(datagram_next(&rest, &section));
    assert_int_equal(section.tag, DATAGRAM_KEYS_PUBLIC);
    assert_int_equal(section.public_key[0], 5);
    assert_true(datagram_next(&rest, &section));
    assert_int_equal(section.tag, DATAGRAM_KEYS_BOX);
    assert_true(section.box.public_key[0] == 5 && section.box.nonce == 6);
    assert_true(section.box.sealed.size == 40 && section.box.sealed.data[2] == 3);
    assert_false(datagram_next(&rest, &section));
}

static void fingerprints_contacts_and_the_young_word_come_back_as_they_were(void **state)
{
    (void)state;
    uint8_t buffer[SEAL_BODY_MAX];
    const uint16_t prints[3] = { 7, 0xffff, 300 };
    const struct address contacts[2] = { { .ip = { 1, 2 }, .port = 7000 }, { .port = 9 } };
    struct datagram d;
    struct datagram_head head = some_head();
    struct datagram_section section;
    struct datagram_writer writer;
    struct datagram_have have;
    struct span rest;
    datagram_begin(&d, buffer, sizeof buffer, &head);
    assert_true(datagram_begin_have(&d, 0xabcdef, &writer));
    assert_true(datagram_add_prints(&writer, 5, prints, 3));
    assert_true(datagram_add_prints(&writer, 63, prints, 0));
    assert_true(datagram_add_contacts(&d, contacts, 2));
    assert_true(datagram_add_young(&d, 77));
    assert_true(datagram_open(span_of(buffer, d.used), &head, &rest));
    assert_true(datagram_next(&rest, &section));
    assert_int_equal(section.tag, DATAGRAM_HAVE);
    assert_int_equal(section.have.salt, 0xabcdef);
    assert_true(datagram_next_have(&section.have.rest, &have));
    assert_true(have.bucket == 5 && have.count == 3 && get_u16(have.prints + 2) == 0xffff);
    assert_true(datagram_next_have(&section.have.rest, &have));
    assert_true(have.bucket == 63 && have.count == 0);
    assert_false(datagram_next_have(&section.have.rest, &have));
    assert_true(datagram_next(&rest, &section));
    assert_int_equal(section.contacts.count, 2);
    assert_memory_equal(section.contacts.list[0].ip, contacts[0].ip, 16);
    assert_int_equal(section.contacts.list[1].port, 9);
    assert_true(datagram_next(&rest, &section) && section.tag == DATAGRAM_YOUNG);
    assert_int_equal(section.young, 77);
    for (size_t size = 0; size < d.used;
         size++) { /* no truncation of it opens into more than whole sections */
        if (datagram_open(span_of(buffer, size), &head, &rest)) {
            while (datagram_next(&rest, &section)) {
            }
        }
    }
}

static void prints_that_do_not_fit_are_not_written(void **state)
{
    (void)state;
    uint8_t buffer[SEAL_BODY_MAX];
    uint16_t prints[400] = { 0 };
    struct datagram d;
    struct datagram_head head = some_head();
    struct datagram_writer writer;
    struct span rest;
    datagram_begin(&d, buffer, sizeof buffer, &head);
    assert_true(datagram_begin_have(&d, 1, &writer));
    assert_true(datagram_add_prints(&writer, 1, prints, 400));
    const size_t used = d.used;
    assert_false(datagram_add_prints(&writer, 2, prints, 400));
    assert_int_equal(d.used, used);
    assert_true(datagram_add_prints(&writer, 2, prints, 50));
    assert_true(datagram_open(span_of(buffer, d.used), &head, &rest));
}

static void every_truncation_of_keys_is_malformed(void **state)
{
    (void)state;
    uint8_t buffer[SEAL_BODY_MAX];
    struct span whole = write_keys(buffer);
    uint32_t accepted = 0;
    for (size_t size = 0; size < whole.size; size++) {
        struct datagram_head head;
        struct span rest;
        accepted += datagram_open(span_of(buffer, size), &head, &rest) ? 1 : 0;
    }
    assert_int_equal(accepted, 4); /* behind the head and behind each section but the last */
}

static void stages_that_end_in_the_middle_of_a_bucket_are_malformed(void **state)
{
    (void)state;
    static const uint8_t entries[] = {
        7, 5, 0, 1, 2, 3, 4, 0x19
    }; /* five members want two bytes */
    uint8_t buffer[SEAL_BODY_MAX];
    struct datagram d;
    struct datagram_head head = { .kind = DATAGRAM_SPREAD };
    struct span rest;
    const struct datagram_stages stages = { .entries = span_of(entries, sizeof entries) };
    datagram_begin(&d, buffer, SEAL_BODY_MAX, &head);
    assert_true(datagram_add_stages(&d, &stages));
    assert_false(datagram_open(span_of(buffer, d.used), &head, &rest));
}

static void every_truncation_but_between_sections_is_malformed(void **state)
{
    (void)state;
    uint8_t buffer[SEAL_BODY_MAX];
    struct span whole = write_everything(buffer);
    uint32_t accepted = 0;
    for (size_t size = 0; size < whole.size; size++) {
        struct datagram_head head;
        struct span rest;
        accepted += datagram_open(span_of(buffer, size), &head, &rest) ? 1 : 0;
    }
    assert_int_equal(accepted, 5); /* behind the head and behind each section but the last */
}

static void unknown_sections_are_skipped(void **state)
{
    (void)state;
    uint8_t buffer[SEAL_BODY_MAX];
    struct datagram d;
    struct datagram_head head = some_head();
    struct datagram_section section;
    struct span rest;
    datagram_begin(&d, buffer, sizeof buffer, &head);
    memcpy(buffer + d.used, "\x77\x04\x00zzzz", 7); /* a tag of a later version */
    d.used += 7;
    assert_true(datagram_add_mask(&d, 3));
    assert_true(datagram_open(span_of(buffer, d.used), &head, &rest));
    assert_true(datagram_next(&rest, &section));
    assert_int_equal(section.tag, DATAGRAM_MASK);
    assert_false(datagram_next(&rest, &section));
}

static void assert_section_malformed(const char *bytes, size_t size)
{
    uint8_t buffer[SEAL_BODY_MAX];
    struct datagram d;
    struct datagram_head head = some_head();
    struct span rest;
    datagram_begin(&d, buffer, sizeof buffer, &head);
    memcpy(buffer + d.used, bytes, size);
    assert_false(datagram_open(span_of(buffer, d.used + size), &head, &rest));
}

static void sections_with_wrong_insides_are_malformed(void **state)
{
    (void)state;
    char votes[3 + 25 + 25] = "\x03\x32\x00";
    char dead[3 + 26] = "\x02\x1a\x00";
    assert_section_malformed("\x01\x00\x00", 3);          /* a record without anything */
    assert_section_malformed("\x04\x08\x00zzzzzzzz", 11); /* one sum */
    assert_section_malformed("\x05\x07\x00zzzzzzz", 10);  /* seven eighths of a mask */
    assert_section_malformed("\x05\xff\xff", 3);          /* longer than the packet */
    assert_section_malformed("\x06\x03\x00zzz", 6);       /* fingerprints without a whole salt */
    assert_section_malformed("\x06\x08\x00zzzz\x40\x00\x00z", 11); /* and in a bucket 64 */
    assert_section_malformed("\x06\x08\x00zzzz\x01\x01\x00z", 11); /* and half of one */
    assert_section_malformed("\x07\x11\x00zzzzzzzzzzzzzzzzz", 20); /* an address without a port */
    assert_section_malformed("\x08\x07\x00zzzzzzz", 10);
    votes[3 + 24] = 2; /* two votes announced, one there */
    assert_section_malformed(votes, sizeof votes);
    votes[3 + 24] = (char)200;
    assert_section_malformed(votes, sizeof votes);
    assert_section_malformed(dead, sizeof dead); /* of nobody */
    dead[3] = 1;
    dead[3 + 24] = MEMBER_LEFT + 1;
    assert_section_malformed(dead, sizeof dead);
}

static void unknown_kinds_are_malformed(void **state)
{
    (void)state;
    uint8_t buffer[SEAL_BODY_MAX];
    struct span whole = write_everything(buffer);
    struct datagram_head head;
    struct span rest;
    buffer[0] = 0;
    assert_false(datagram_open(whole, &head, &rest));
    buffer[0] = DATAGRAM_REFUSED + 1;
    assert_false(datagram_open(whole, &head, &rest));
}

static void what_does_not_fit_is_not_written(void **state)
{
    (void)state;
    uint8_t buffer[SEAL_BODY_MAX];
    struct member member = some_member();
    struct datagram d;
    struct datagram_head head = some_head();
    struct span rest;
    uint32_t records = 0;
    datagram_begin(&d, buffer, sizeof buffer, &head);
    while (datagram_add_record(&d, &member, (struct telling){ .ready = false })) {
        records++;
    }
    size_t used = d.used;
    while (datagram_add_mask(&d, 1)) {
        used = d.used;
    }
    assert_false(datagram_add_mask(&d, 1));
    assert_int_equal(d.used, used);
    assert_true(records >= 10 && used <= sizeof buffer);
    assert_true(datagram_open(span_of(buffer, used), &head, &rest));
}

static void the_largest_record_and_its_digests_fit_packets(void **state)
{
    (void)state;
    uint8_t buffer[SEAL_BODY_MAX];
    struct member member = some_member();
    struct datagram d;
    struct datagram_head head = some_head();
    memset(member.name, 'n', MEMBER_NAME_MAX);
    memset(member.zone, 'z', MEMBER_ZONE_MAX);
    memset(member.labels, 'l', MEMBER_LABELS_MAX);
    memset(member.credentials, 'c', MEMBER_CREDENTIALS_MAX);
    member.endpoint_count = MEMBER_ENDPOINTS_MAX;
    struct datagram_state dead = { .id = id_of(2), .incarnation = 4, .state = MEMBER_DEAD };
    datagram_begin(&d, buffer, sizeof buffer, &head);
    assert_true(datagram_add_state(&d, &dead));
    assert_true(datagram_add_mask(&d, 1));
    assert_true(datagram_add_record(&d, &member, (struct telling){ .ready = true }));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_comes_back_as_it_was),
        cmocka_unit_test(sections_of_keys_come_back_as_they_were),
        cmocka_unit_test(a_newest_key_without_a_time_is_read),
        cmocka_unit_test(fingerprints_contacts_and_the_young_word_come_back_as_they_were),
        cmocka_unit_test(prints_that_do_not_fit_are_not_written),
        cmocka_unit_test(every_truncation_of_keys_is_malformed),
        cmocka_unit_test(stages_that_end_in_the_middle_of_a_bucket_are_malformed),
        cmocka_unit_test(every_truncation_but_between_sections_is_malformed),
        cmocka_unit_test(unknown_sections_are_skipped),
        cmocka_unit_test(sections_with_wrong_insides_are_malformed),
        cmocka_unit_test(unknown_kinds_are_malformed),
        cmocka_unit_test(what_does_not_fit_is_not_written),
        cmocka_unit_test(the_largest_record_and_its_digests_fit_packets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
