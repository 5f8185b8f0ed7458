/* util_sandbox.c - a process that reads hostile text gives up what it does not need (Linux: seccomp, by libseccomp). */
#include "util.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Whatever the arguments: memory, its own signals, clocks, waiting, the end. */
static const int ALLOWED[] = {
    SCMP_SYS(brk),          SCMP_SYS(munmap),          SCMP_SYS(mremap),
    SCMP_SYS(madvise),      SCMP_SYS(rt_sigaction),    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack),     SCMP_SYS(getpid),
    SCMP_SYS(gettid),       SCMP_SYS(clock_gettime),   SCMP_SYS(gettimeofday),
    SCMP_SYS(time),         SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep),
    SCMP_SYS(pause),        SCMP_SYS(restart_syscall), SCMP_SYS(sched_yield),
    SCMP_SYS(futex),        SCMP_SYS(getrandom),       SCMP_SYS(exit),
    SCMP_SYS(exit_group),
};
/* No innocent molecule makes these: an end at once is safer than an answer. */
static const int KILLED[] = {
    SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(fork),       SCMP_SYS(vfork), SCMP_SYS(clone),  SCMP_SYS(clone3),
    SCMP_SYS(socket), SCMP_SYS(connect),  SCMP_SYS(socketpair), SCMP_SYS(bind),  SCMP_SYS(ptrace),
};

static struct scmp_arg_cmp equal(unsigned i, unsigned long value)
{
	return (struct scmp_arg_cmp){.arg = i, .op = SCMP_CMP_MASKED_EQ, .datum_a = 0xffffffff, .datum_b = value};
}
static struct scmp_arg_cmp bits(unsigned i, unsigned long mask, unsigned long value)
{
	return (struct scmp_arg_cmp){.arg = i, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
}

bool sandbox_available(void)
{
	uint32_t action = SECCOMP_RET_KILL_PROCESS;
	return SANDBOX_BUILT && !syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action);
}

int sandbox_enter(int fd, struct err *e)
{
	static const int TALK[] = {SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(recvfrom)};
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int rc = f ? 0 : -ENOMEM;
	for (size_t i = 0; i < sizeof ALLOWED / sizeof *ALLOWED && !rc; i++)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, ALLOWED[i], 0);
	for (size_t i = 0; i < sizeof KILLED / sizeof *KILLED && !rc; i++)
		rc = seccomp_rule_add(f, SCMP_ACT_KILL_PROCESS, KILLED[i], 0);
	for (size_t i = 0; i < sizeof TALK / sizeof *TALK && !rc; i++)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, TALK[i], 1, equal(0, (unsigned long)fd));
	/* An address would let it send elsewhere. */
	if (!rc)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(sendto), 2, equal(0, (unsigned long)fd),
				      SCMP_A4(SCMP_CMP_EQ, 0));
	if (!rc && fd != STDERR_FILENO)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(write), 1, equal(0, STDERR_FILENO));
	if (!rc && fd != STDERR_FILENO)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(writev), 1, equal(0, STDERR_FILENO));
	/* Signals to itself alone, as abort() sends them. */
	if (!rc)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, equal(0, (unsigned long)getpid()));
	/* Memory that is no file and no code. */
	if (!rc)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2, bits(2, PROT_EXEC, 0),
				      bits(3, MAP_ANONYMOUS, MAP_ANONYMOUS));
	if (!rc)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, bits(2, PROT_EXEC, 0));
	if (!rc)
		rc = seccomp_load(f);
	seccomp_release(f);
	errno = -rc;
	return rc ? err_set_errno(e, ERR_IO, "a worker cannot give up its privileges") : 0;
}
