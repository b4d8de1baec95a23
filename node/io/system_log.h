/* node/io/system_log.h: the log of the system: what syslog(3) does, but nobody ever waits for it.
 *
 * Lines go as datagrams to a socket, where journald or syslogd reads; what it does not take at once
 * is lost. Any thread may send. */
#pragma once
#include <stdbool.h>

/* Once for a process; `path` is "/dev/log", `name` what lines begin with. */
void system_log_open(const char *path, const char *name);
bool system_log_is_open(void);
/* `level`: that of log.h as a number, 0 error to 3 debug. */
void system_log_send(int level, const char *line);
