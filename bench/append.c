/* The loops that the appends of `bench/io.ts` are compared with: what a C program does with liburing, one
 * SQE for each append. Built by the benchmark as a shared library, and called in the same process. */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH 32
#define WINDOW 1024
#define RECORD 256

static struct io_uring ring;
static char *memory;
static int file;
static uint64_t end;

/* Opens a ring with one registered buffer of WINDOW records and one registered file. */
int append_open(const char *path) {
	unsigned flags = IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | (1U << 13) /* DEFER_TASKRUN */;
	int rc = io_uring_queue_init(WINDOW, &ring, flags);
	if (rc < 0) return rc;
	if (posix_memalign((void **)&memory, 4096, WINDOW * RECORD) != 0) return -ENOMEM;
	struct iovec vector = { .iov_base = memory, .iov_len = WINDOW * RECORD };
	rc = io_uring_register_buffers(&ring, &vector, 1);
	if (rc < 0) return rc;
	file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	if (file < 0) return -errno;
	return io_uring_register_files(&ring, &file, 1);
}

/* Empties the file: the next append is at its start. */
int append_restart(void) {
	end = 0;
	return ftruncate(file, 0) < 0 ? -errno : 0;
}

/* Appends a record: copies it, as a caller's memory has to be, and takes one SQE. */
static void prepare(unsigned slot, const char *record) {
	char *target = memory + slot * RECORD;
	memcpy(target, record, RECORD);
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
	io_uring_prep_write_fixed(sqe, 0, target, RECORD, end, 0);
	sqe->flags |= IOSQE_FIXED_FILE;
	sqe->user_data = slot;
	end += RECORD;
}

/* Submits, waits for `count`, and takes all completions: `seen`, and `good` those with the expected result. */
static int finish(unsigned count, unsigned *slots, unsigned *seen, unsigned *good) {
	int rc = io_uring_submit_and_wait(&ring, count);
	if (rc < 0) return rc;
	struct io_uring_cqe *cqe;
	unsigned head, taken = 0;
	io_uring_for_each_cqe(&ring, head, cqe) {
		slots[taken++] = cqe->user_data;
		*good += cqe->res == RECORD;
	}
	io_uring_cq_advance(&ring, taken);
	*seen = taken;
	return 0;
}

/* Appends, submitted BATCH at a time, of which at most WINDOW are in flight. */
int append_stream(const char *record, unsigned count) {
	unsigned unused[WINDOW], left = WINDOW, good = 0, seen = 0;
	for (unsigned i = 0; i < WINDOW; i++) unused[i] = i;
	for (unsigned done = 0, submitted = 0; done < count; done += seen, left += seen) {
		for (unsigned i = 0; i < BATCH && submitted < count && left > 0; i++, submitted++)
			prepare(unused[--left], record);
		int full = left == 0 || submitted == count;
		int rc = finish(full ? 1 : 0, unused + left, &seen, &good);
		if (rc < 0) return rc;
	}
	return good;
}

/* Appends that are submitted and awaited one by one. */
int append_singles(const char *record, unsigned count) {
	unsigned good = 0, seen, slot;
	for (unsigned i = 0; i < count; i++) {
		prepare(0, record);
		int rc = finish(1, &slot, &seen, &good);
		if (rc < 0) return rc;
	}
	return good;
}

void append_close(void) {
	io_uring_queue_exit(&ring);
	close(file);
	free(memory);
}
