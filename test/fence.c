/* fence.c - a table of the CPU whose memory only its own operations can touch: what a device's memory is to its host.
 */
#include "twins.h"

#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static const size_t room = (size_t)4 << 30;
static char *memory;
static size_t used;
static struct kernels table;

__attribute__((noreturn, format(printf, 1, 0))) static void end(const char *format, const char *what)
{
	char text[160];
	int n = snprintf(text, sizeof text, format, what);
	_exit(write(STDERR_FILENO, text, (size_t)n) == n ? 99 : 98);
}

static bool inside(const void *p)
{
	const char *c = p;
	return c >= memory && c < memory + room;
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
	end(inside(info->si_addr) ? "fence: %s reached into the table's memory\n" : "fence: %s fell\n", "the model");
}

void fence_demand(const char *op, const void *p)
{
	if (p && !inside(p))
		end("fence: %s got a pointer that is not to the table's memory\n", op);
}

void fence_open(void)
{
	if (used && mprotect(memory, used, PROT_READ | PROT_WRITE))
		end("fence: %s\n", "mprotect");
}

void fence_close(void)
{
	if (used && mprotect(memory, used, PROT_NONE))
		end("fence: %s\n", "mprotect");
}

/* Nothing is handed out twice, until the next table. */
static void *alloc(size_t nbytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (nbytes / page + 1) * page;
	if (whole > room - used)
		return NULL;
	used += whole;
	return memory + used - whole;
}

static void release(void *p)
{
	if (p)
		fence_demand("release", p);
}

static void upload(void *dst, const void *host, size_t nbytes)
{
	fence_demand("upload", dst);
	if (inside(host))
		end("fence: %s from the table's memory\n", "upload");
	fence_open();
	table.upload(dst, host, nbytes);
	fence_close();
}

static void download(void *host, const void *src, size_t nbytes)
{
	fence_demand("download", src);
	if (inside(host))
		end("fence: %s to the table's memory\n", "download");
	fence_open();
	table.download(host, src, nbytes);
	fence_close();
}

static void copy(void *dst, const void *src, size_t nbytes)
{
	fence_demand("copy", dst);
	fence_demand("copy", src);
	fence_open();
	table.copy(dst, src, nbytes);
	fence_close();
}

int fence_table(struct kernels *k, bool plain, struct err *e)
{
	struct sigaction act = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
	int rc = kernels_cpu(&table, NULL, e);
	if (rc)
		return rc;
	if (memory)
		munmap(memory, room);
	used = 0;
	memory = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return err_set_errno(e, ERR_MEMORY, "fence");
	sigaction(SIGSEGV, &act, NULL);
	table.plain = plain;
	twin_right = &table;
	*k = table;
	k->alloc = alloc;
	k->release = release;
	k->upload = upload;
	k->download = download;
	k->copy = copy;
	for (int i = 0; i < twin_n_fence; i++)
		twin_put(k, &twin_fences[i]);
	return 0;
}
