/* cli/commands.h: the subcommands that ask a running node, make keys or write pages. argv[0] is the
 * word itself; each returns the exit code of the process. */
#pragma once

int dataset_command(int argc, char **argv);
int status_command(int argc, char **argv);
int nodes_command(int argc, char **argv);
int ring_command(int argc, char **argv);
int where_command(int argc, char **argv);
int keygen_command(int argc, char **argv);
int docgen_command(int argc, char **argv);
