/*
 * quote.c: the output of Python's repr() for the same bytes.
 */
#include <prefork.h>
#include <string.h>

#include "../cmd/shared/quote.h"
#include "tap.h"

#define BYTES(literal) literal, sizeof(literal) - 1

static const struct {
	const char *bytes;
	size_t len;
	const char *repr;
} known[] = {
    {BYTES(""), "b''"},
    {BYTES("Hello World!"), "b'Hello World!'"},
    {BYTES("it's"), "b\"it's\""},
    {BYTES("say \"hi\""), "b'say \"hi\"'"},
    {BYTES("it's \"both\""), "b'it\\'s \"both\"'"},
    {BYTES("\\"), "b'\\\\'"},
    {BYTES("\011\012\015\000\001\037\177\200\377"),
	"b'\\t\\n\\r\\x00\\x01\\x1f\\x7f\\x80\\xff'"},
    {BYTES("\303\251\342\202\254"), "b'\\xc3\\xa9\\xe2\\x82\\xac'"},
    {BYTES("\000\001\002\003\004\005\006\007\010\011\012\013\014\015"
	   "\016\017\020\021\022\023\024\025\026\027\030\031\032\033"
	   "\034\035\036\037"),
	"b'\\x00\\x01\\x02\\x03\\x04\\x05\\x06\\x07\\x08\\t\\n\\x"
	"0b\\x0c\\r\\x0e\\x0f\\x10\\x11\\x12\\x13\\x14\\x15\\x16"
	"\\x17\\x18\\x19\\x1a\\x1b\\x1c\\x1d\\x1e\\x1f'"},
    {BYTES(" !\"#$%&'()*+,-./0123456789:;<=>\?@ABCDEFGHIJKLMNOPQRSTU"
	   "VWXYZ[\\]^_"),
	"b' !\"#$%&\\'()*+,-./0123456789:;<=>\?@ABCDEFGHIJKLMNOPQ"
	"RSTUVWXYZ[\\\\]^_'"},
    {BYTES("`abcdefghijklmnopqrstuvwxyz{|}~\177"),
	"b'`abcdefghijklmnopqrstuvwxyz{|}~\\x7f'"},
    {BYTES("\200\201\202\203\204\205\206\207\210\211\212\213\214\215"
	   "\216\217\220\221\222\223\224\225\226\227\230\231\232\233"
	   "\234\235\236\237"),
	"b'\\x80\\x81\\x82\\x83\\x84\\x85\\x86\\x87\\x88\\x89\\x8"
	"a\\x8b\\x8c\\x8d\\x8e\\x8f\\x90\\x91\\x92\\x93\\x94\\x95"
	"\\x96\\x97\\x98\\x99\\x9a\\x9b\\x9c\\x9d\\x9e\\x9f'"},
    {BYTES("\240\241\242\243\244\245\246\247\250\251\252\253\254\255"
	   "\256\257\260\261\262\263\264\265\266\267\270\271\272\273"
	   "\274\275\276\277"),
	"b'\\xa0\\xa1\\xa2\\xa3\\xa4\\xa5\\xa6\\xa7\\xa8\\xa9\\xa"
	"a\\xab\\xac\\xad\\xae\\xaf\\xb0\\xb1\\xb2\\xb3\\xb4\\xb5"
	"\\xb6\\xb7\\xb8\\xb9\\xba\\xbb\\xbc\\xbd\\xbe\\xbf'"},
    {BYTES("\300\301\302\303\304\305\306\307\310\311\312\313\314\315"
	   "\316\317\320\321\322\323\324\325\326\327\330\331\332\333"
	   "\334\335\336\337"),
	"b'\\xc0\\xc1\\xc2\\xc3\\xc4\\xc5\\xc6\\xc7\\xc8\\xc9\\xc"
	"a\\xcb\\xcc\\xcd\\xce\\xcf\\xd0\\xd1\\xd2\\xd3\\xd4\\xd5"
	"\\xd6\\xd7\\xd8\\xd9\\xda\\xdb\\xdc\\xdd\\xde\\xdf'"},
    {BYTES("\340\341\342\343\344\345\346\347\350\351\352\353\354\355"
	   "\356\357\360\361\362\363\364\365\366\367\370\371\372\373"
	   "\374\375\376\377"),
	"b'\\xe0\\xe1\\xe2\\xe3\\xe4\\xe5\\xe6\\xe7\\xe8\\xe9\\xe"
	"a\\xeb\\xec\\xed\\xee\\xef\\xf0\\xf1\\xf2\\xf3\\xf4\\xf5"
	"\\xf6\\xf7\\xf8\\xf9\\xfa\\xfb\\xfc\\xfd\\xfe\\xff'"},
    {BYTES("''''''''''''''''''''''''''''''''''''''''''''''''''''''''"
	   "''''''''"),
	"b\"'''''''''''''''''''''''''''''''''''''''''''''''''''''"
	"'''''''''''\""},
};

int
main(void)
{
	char dst[QUOTE_SIZE], many[100];
	unsigned char worst[64];

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		is_str(quote_bytes(dst, known[i].bytes, known[i].len),
		    known[i].repr, "%zu bytes", known[i].len);
	ok(quote_bytes(dst, "", 0) == dst, "it returns dst");
	is_str(quote_bytes(dst, NULL, 0), "b''", "nothing at all");

	memset(many, 'a', sizeof(many));
	quote_bytes(dst, many, 64);
	is_int(strlen(dst), 67, "64 bytes are shown whole");
	quote_bytes(dst, many, 65);
	is_str(dst + 66, "'... (65 bytes)", "65 are cut");
	/* A quote beyond the cut does not count. */
	many[80] = '\'';
	is_int(quote_bytes(dst, many, 100)[1], '\'', "cut first, then quoted");

	memset(worst, 0xff, sizeof(worst));
	quote_bytes(dst, worst, sizeof(worst));
	ok(strlen(dst) < QUOTE_SIZE, "the longest has room: %zu", strlen(dst));
	return done_testing();
}
