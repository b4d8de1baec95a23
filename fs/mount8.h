/* fs/mount8.h: `mount -t fuse.atoll` and fstab.
 *
 * mount(8) runs /sbin/mount.fuse.atoll, a symbolic link to this program, as
 * `mount.fuse.atoll SOURCE DIR [-sfnv] [-o LIST]`. */
#pragma once
#include <stdbool.h>

/* Is that the name under which mount(8) runs the program? */
bool mount8_is_name(const char *program);
/* Mounts in the background. Returns an exit code of mount(8). */
int mount8_command(int argc, char **argv);
