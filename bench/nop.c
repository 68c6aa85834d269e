/* The loops that `bench/nop.ts` is compared with: what a C program does with liburing.
 * Built by the benchmark as a shared library, and called in the same process. */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define BATCH 32
#define BLOCK 4096

static struct io_uring ring;
static char *memory;
static int file;

/* Opens a ring with one registered buffer of BATCH blocks and one registered file. */
int reference_open(const char *path) {
	unsigned flags = IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | (1U << 13) /* DEFER_TASKRUN */;
	int rc = io_uring_queue_init(256, &ring, flags);
	if (rc < 0) return rc;
	if (posix_memalign((void **)&memory, BLOCK, BATCH * BLOCK) != 0) return -ENOMEM;
	struct iovec vector = { .iov_base = memory, .iov_len = BATCH * BLOCK };
	rc = io_uring_register_buffers(&ring, &vector, 1);
	if (rc < 0) return rc;
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0) return -errno;
	return io_uring_register_files(&ring, &file, 1);
}

/* Submits, waits for all, and counts the completions with the expected result. */
static int finish(int expected) {
	int rc = io_uring_submit_and_wait(&ring, BATCH);
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

int reference_nop(unsigned batches) {
	int good = 0;
	for (unsigned i = 0; i < batches; i++) {
		for (unsigned j = 0; j < BATCH; j++) {
			struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
			io_uring_prep_nop(sqe);
			sqe->user_data = j;
		}
		good += finish(0);
	}
	return good;
}

int reference_read_fixed(unsigned batches) {
	int good = 0;
	for (unsigned i = 0; i < batches; i++) {
		for (unsigned j = 0; j < BATCH; j++) {
			struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
			io_uring_prep_read_fixed(sqe, 0, memory + j * BLOCK, BLOCK, (uint64_t)j * BLOCK, 0);
			sqe->flags |= IOSQE_FIXED_FILE;
			sqe->user_data = j;
		}
		good += finish(BLOCK);
	}
	return good;
}

void reference_close(void) {
	io_uring_queue_exit(&ring);
	close(file);
	free(memory);
}
