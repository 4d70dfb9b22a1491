/*
 * log.h: what the library itself needs of the log beyond prefork.h.
 */
#ifndef PFK_BASE_LOG_H
#define PFK_BASE_LOG_H

#include <stdbool.h>

/* The descriptor in use, or -1: what a forked process must keep open. */
int pfk__log_fd(void);

/* The same where it takes text as it is: not syslog's. */
int pfk__log_text_fd(void);

/* The enum pfk_level in force. */
int pfk__log_level(void);

/* The word of pfk_log_set_process. */
const char *pfk__log_process(void);

/* Whether the log is a file, which a rotation replaces. */
bool pfk__log_is_file(void);

/* In a process that is about to close what it does not know. */
void pfk__log_forked(void);

/* Write to fd from now on; fd is the log's own afterwards. */
void pfk__log_take_fd(int fd);

#endif
