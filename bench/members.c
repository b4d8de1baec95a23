/* bench/members.c: bench_members CASE: membership by the thousand, beside its goals. */
#include "sim/members_command.h"

int main(int argc, char **argv)
{
    return members_command(argc, argv);
}
