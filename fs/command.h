/* fs/command.h: `atoll mount`. */
#pragma once

/* argv[0] is "mount". Returns the exit code. */
int mount_command(int argc, char **argv);
