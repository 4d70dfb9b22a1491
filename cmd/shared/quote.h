/*
 * quote.h: payloads and peers for the log, as Python writes them.
 */
#ifndef SHARED_QUOTE_H
#define SHARED_QUOTE_H

#include <prefork.h>
#include <stddef.h>

/* Room for any answer of quote_bytes. */
#define QUOTE_SIZE 320

/*
 * Write buf as b'...', cut after 64 bytes with the full length behind it, to dst,
 * which holds QUOTE_SIZE bytes.  Returns dst.
 */
const char *quote_bytes(char *dst, const void *buf, size_t len);

/*
 * Write the address as the socket module does, "('127.0.0.1', 8888)", to dst, which
 * holds PFK_ADDR_SIZE bytes.  Returns dst.
 */
const char *quote_addr(char *dst, const struct pfk_addr *a);

#endif
