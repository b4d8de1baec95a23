/* sim/members_command.h: `atoll sim membership`. */
#pragma once

int members_command(int argc, char **argv);
