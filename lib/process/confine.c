/*
 * confine.c: when a worker enters the sandbox, and what the log says of it.
 *
 * Layer: process.
 */
#include <linux/capability.h>
#include <sysexits.h>

#include "event/ledger.h"
#include "process/worker.h"
#include "sandbox/sandbox.h"

#define TEXT_SIZE 240

/*
 * The capabilities of a master with workers of another user.  They are needed for
 * files of the log's and the configuration's owner, for signals to workers and for
 * their change of user; before that change, for the workers' sockets: ports, large
 * buffers, the holder of an address that is in use; and for pipes and descriptors
 * beyond the limits of a user.
 */
#define BIT(capability) (1ULL << (capability))
#define MASTER_KEEPS \
	(BIT(CAP_DAC_OVERRIDE) | BIT(CAP_KILL) | BIT(CAP_SETUID) | \
	    BIT(CAP_SETGID) | BIT(CAP_SETPCAP) | BIT(CAP_NET_BIND_SERVICE) | \
	    BIT(CAP_NET_ADMIN) | BIT(CAP_SYS_PTRACE) | BIT(CAP_SYS_RESOURCE))

/* Each worker of the service enters with the same parts: one of them logs it. */
static bool
logs_it(const struct pfk_worker *w)
{
	return w->slot == 0 && w->first_boot &&
	    (w->ledger == NULL || !w->ledger->resumed);
}

static void
log_parts(unsigned parts)
{
	char text[TEXT_SIZE], missing[TEXT_SIZE];

	pfk__sandbox_describe(parts, text, sizeof(text));
	pfk__sandbox_describe_missing(parts, missing, sizeof(missing));
	if (missing[0] == '\0')
		pfk_log(PFK_INFO, "workers are confined: %s", text);
	else
		pfk_log(PFK_WARNING,
		    "workers are confined in part: %s; but %s; --sandbox on "
		    "would refuse to start",
		    text, missing);
}

int
pfk__worker_confine(struct pfk_worker *w)
{
	enum pfk_sandbox wish = w->config->sandbox;
	char missing[TEXT_SIZE];
	const char *why;
	unsigned parts;

	if (wish == PFK_SANDBOX_OFF)
		return 0;
	if (!pfk__sandbox_possible(&why)) {
		if (logs_it(w))
			pfk_log(PFK_INFO, "workers are not confined: %s", why);
		return 0;
	}
	parts = pfk__sandbox_enter();
	if (logs_it(w))
		log_parts(parts);
	if (wish == PFK_SANDBOX_AUTO ||
	    (parts & PFK__SANDBOX_ALL) == PFK__SANDBOX_ALL)
		return 0;
	pfk__sandbox_describe_missing(parts, missing, sizeof(missing));
	return pfk_worker_fail(w, EX_CONFIG,
	    "cannot confine a worker as --sandbox on asks: %s; take auto",
	    missing);
}

int
pfk__check_sandbox(const struct pfk_master_config *config)
{
	char missing[TEXT_SIZE];
	const char *why = missing;
	unsigned parts = pfk__sandbox_offer();

	if (config->sandbox != PFK_SANDBOX_ON)
		return EX_OK;
	pfk__sandbox_describe_missing(parts, missing, sizeof(missing));
	if (pfk__sandbox_possible(&why) &&
	    (parts & PFK__SANDBOX_ALL) == PFK__SANDBOX_ALL)
		return EX_OK;
	pfk_complain("cannot start: --sandbox on asks for all of the sandbox, "
		     "but %s; take auto",
	    why);
	return EX_CONFIG;
}

void
pfk__confine_master(const struct pfk_master_config *config)
{
	if (config->sandbox != PFK_SANDBOX_OFF && config->worker_user != 0 &&
	    pfk__capabilities_keep(MASTER_KEEPS) == -1)
		pfk_warn("cannot give up the master's capabilities");
}
