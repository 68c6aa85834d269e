/* What `bench/ring.ts` is compared with: the loops that a C program would write with liburing, and a
 * thread that ends an operation at a time that is known to the nanosecond.
 * Built by the benchmark as a shared library, and called in the same process. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ENTRIES 256
#define BLOCKS 32
#define BLOCK 4096

static struct io_uring ring;
static char *memory;
static int file;

/* Opens a ring with one registered buffer of BLOCKS blocks and one registered file. */
int reference_open(const char *path) {
	unsigned flags = IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | (1U << 13) /* DEFER_TASKRUN */;
	int rc = io_uring_queue_init(ENTRIES, &ring, flags);
	if (rc < 0) return rc;
	if (posix_memalign((void **)&memory, BLOCK, BLOCKS * BLOCK) != 0) return -ENOMEM;
	struct iovec vector = { .iov_base = memory, .iov_len = BLOCKS * BLOCK };
	rc = io_uring_register_buffers(&ring, &vector, 1);
	if (rc < 0) return rc;
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0) return -errno;
	return io_uring_register_files(&ring, &file, 1);
}

/* Submits, waits for all, and counts the completions with the expected result. */
static int finish(unsigned batch, int expected) {
	int rc = io_uring_submit_and_wait(&ring, batch);
	if (rc < 0) return rc;
	struct io_uring_cqe *cqe;
	unsigned head, seen = 0, good = 0;
	io_uring_for_each_cqe(&ring, head, cqe) {
		seen++;
		good += cqe->res == expected;
	}
	io_uring_cq_advance(&ring, seen);
	return good;
}

/* `batch` is at most ENTRIES. */
int reference_nop(unsigned batches, unsigned batch) {
	int good = 0;
	for (unsigned i = 0; i < batches; i++) {
		for (unsigned j = 0; j < batch; j++) {
			struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
			io_uring_prep_nop(sqe);
			sqe->user_data = j;
		}
		good += finish(batch, 0);
	}
	return good;
}

/* `batch` is at most BLOCKS. */
int reference_read_fixed(unsigned batches, unsigned batch) {
	int good = 0;
	for (unsigned i = 0; i < batches; i++) {
		for (unsigned j = 0; j < batch; j++) {
			struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
			io_uring_prep_read_fixed(sqe, 0, memory + j * BLOCK, BLOCK, (uint64_t)j * BLOCK, 0);
			sqe->flags |= IOSQE_FIXED_FILE;
			sqe->user_data = j;
		}
		good += finish(batch, BLOCK);
	}
	return good;
}

int reference_close(void) {
	io_uring_queue_exit(&ring);
	free(memory);
	return close(file);
}

/* The pulse: a thread that writes into a pipe, so many nanoseconds after it was asked to, the time at
 * which it writes. A read of the pipe is an operation whose end is known.
 * The thread spins before its time, so that it is neither late nor wakes the reader's processor early. */

#define SPIN_NANOS 150000

static int pulse_fd;
static pthread_t pulse_thread;
/* Nanoseconds of CLOCK_MONOTONIC; 0 while nobody asks. */
static _Atomic uint64_t pulse_at;
static atomic_bool pulse_end;
static atomic_bool pulse_spins;

static uint64_t nanoseconds(clockid_t clock) {
	struct timespec t;
	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void sleep_until(uint64_t at) {
	struct timespec t = { .tv_sec = at / 1000000000, .tv_nsec = at % 1000000000 };
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static void *pulse(void *unused) {
	while (!atomic_load(&pulse_end)) {
		uint64_t at = atomic_load(&pulse_at);
		if (at == 0) {
			if (!atomic_load(&pulse_spins)) sleep_until(nanoseconds(CLOCK_MONOTONIC) + SPIN_NANOS);
			continue;
		}
		if (at > nanoseconds(CLOCK_MONOTONIC) + 2 * SPIN_NANOS) sleep_until(at - SPIN_NANOS);
		uint64_t now;
		do now = nanoseconds(CLOCK_MONOTONIC); while (now < at);
		atomic_store(&pulse_at, 0);
		if (write(pulse_fd, &now, sizeof now) != sizeof now) break;
	}
	return unused;
}

/* Makes the pipe at `path` and starts the thread. */
int pulse_open(const char *path) {
	if (mkfifo(path, 0600) < 0) return -errno;
	pulse_fd = open(path, O_RDWR | O_CLOEXEC);
	if (pulse_fd < 0) return -errno;
	atomic_store(&pulse_at, 0);
	atomic_store(&pulse_end, false);
	return -pthread_create(&pulse_thread, NULL, pulse, NULL);
}

/* The next pulse. A thread that is woken for a pulse so near would be late: it spins meanwhile. */
int pulse_after(unsigned micros) {
	uint64_t nanos = (uint64_t)micros * 1000;
	atomic_store(&pulse_spins, nanos <= 2 * SPIN_NANOS);
	atomic_store(&pulse_at, nanoseconds(CLOCK_MONOTONIC) + nanos);
	return 0;
}

/* Ends the thread. */
int pulse_close(void) {
	atomic_store(&pulse_end, true);
	pthread_join(pulse_thread, NULL);
	return close(pulse_fd);
}

/* Into two doubles: CLOCK_MONOTONIC in nanoseconds, and the CPU time of this process in nanoseconds but
 * for the thread above. */
int pulse_clocks(double *out) {
	clockid_t clock;
	out[0] = (double)nanoseconds(CLOCK_MONOTONIC);
	pthread_getcpuclockid(pulse_thread, &clock);
	out[1] = (double)(nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - nanoseconds(clock));
	return 0;
}

/* Into a double: CLOCK_MONOTONIC in nanoseconds, less the time that stands in `stamp`. */
int pulse_since(const uint64_t *stamp, double *out) {
	*out = (double)(int64_t)(nanoseconds(CLOCK_MONOTONIC) - *stamp);
	return 0;
}
