/*
 * guard.h: datagrams that must not be answered.
 *
 * A UDP echo that answers anybody can be made to talk to another one for ever
 * (CVE-1999-0103, CVE-2024-2169).
 */
#ifndef ECHO_GUARD_H
#define ECHO_GUARD_H

#include <prefork.h>

/*
 * Why p must not be answered, or NULL.  own are the ports that this server
 * itself listens on.
 */
const char *guard_refuses(const struct pfk_packet *p, const uint16_t *own,
    size_t n_own);

#endif
