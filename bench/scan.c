/* What reading a log back is compared with: a scan of the segments of a log (docs/FORMAT.md) that walks
 * the records of each frame by their lengths, and checks nothing. Built by `bench/wal.ts` as a shared
 * library, and called in the same process. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define HEADER_BYTES 64
#define MAGIC 0x31465255
/* At least the largest frame, and what is read beyond it. */
#define MEMORY_BYTES (4 << 20)
#define READ_BYTES (128 << 10)

static unsigned char memory[MEMORY_BYTES];

static uint32_t u32(const unsigned char *at) {
	uint32_t value;
	memcpy(&value, at, sizeof value);
	return value;
}

/* Bytes from `from` on that are in memory; fewer than `want` at the end of the file only. */
static size_t have(int fd, size_t *from, size_t *until, size_t want) {
	while (*until - *from < want) {
		if (*from + want + READ_BYTES > MEMORY_BYTES) {
			memmove(memory, memory + *from, *until - *from);
			*until -= *from;
			*from = 0;
			if (want + READ_BYTES > MEMORY_BYTES) break;
		}
		ssize_t got = read(fd, memory + *until, READ_BYTES);
		if (got <= 0) break;
		*until += (size_t)got;
	}
	return *until - *from;
}

/* Into `out`: how many records the segment at `path` holds, and bytes in them, as doubles.
 * 0, or a negative errno. */
int scan_segment(const char *path, double *out) {
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) return -errno;
	size_t from = 0, until = 0;
	uint64_t records = 0, bytes = 0;
	if (have(fd, &from, &until, 128) < 128) return close(fd), -EINVAL;
	uint32_t unit = u32(memory + 56);
	if (have(fd, &from, &until, 2 * unit) < 2 * unit) return close(fd), -EINVAL;
	from += 2 * unit;
	while (have(fd, &from, &until, HEADER_BYTES) >= HEADER_BYTES && u32(memory + from) == MAGIC) {
		uint32_t length = u32(memory + from + 12), count = u32(memory + from + 16);
		size_t whole = ((size_t)HEADER_BYTES + length + unit - 1) / unit * unit;
		if (have(fd, &from, &until, whole) < whole) break;
		const unsigned char *record = memory + from + HEADER_BYTES;
		for (uint32_t i = 0; i < count; i++) {
			uint32_t size = u32(record);
			bytes += size;
			record += 4 + size;
		}
		records += count;
		from += whole;
	}
	out[0] = (double)records;
	out[1] = (double)bytes;
	return close(fd);
}
