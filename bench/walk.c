/* What reading a log back is compared with (docs/FORMAT.md): the frames of a segment, one after the other,
 * with the CRC32C of each header and of its records, and how many records they hold; and a plain read of
 * the same file. Built by the benchmark as a shared library, and called in the same process. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK (1 << 20)
#define FRAME_HEADER 64
#define FRAME_MAGIC 0x31465255

/* Both sides have the checksum of one library. */
static uint32_t (*crc32c)(uint32_t seed, const void *bytes, uint32_t length);
static char *memory;
static size_t room;

int walk_open(const char *library) {
	void *loaded = dlopen(library, RTLD_NOW);
	if (!loaded) return -ENOENT;
	crc32c = (uint32_t (*)(uint32_t, const void *, uint32_t))dlsym(loaded, "uring_crc32c");
	if (!crc32c) return -ENOSYS;
	room = 4 * BLOCK;
	return posix_memalign((void **)&memory, 4096, room) == 0 ? 0 : -ENOMEM;
}

static uint32_t u32(const char *at) {
	uint32_t value;
	memcpy(&value, at, sizeof value);
	return value;
}

/* Records in a segment up to its first place without a whole frame, or a negative errno. */
int walk_records(const char *path) {
	int file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0) return -errno;
	int records = 0;
	/* `memory` holds the bytes of the file from `base` on. */
	uint64_t base = 0, offset = 0;
	size_t held = 0, unit = 0;
	char life[16];
	for (;;) {
		char *frame = memory + (offset - base);
		size_t left = base + held - offset;
		size_t wanted = left >= FRAME_HEADER ? FRAME_HEADER + u32(frame + 12) : FRAME_HEADER;
		if (unit && left >= FRAME_HEADER && u32(frame) != FRAME_MAGIC) break;
		if (left < wanted || !unit) {
			if (wanted > room) break;
			memmove(memory, frame, left);
			base = offset;
			held = left;
			ssize_t got = pread(file, memory + held, held + BLOCK <= room ? BLOCK : room - held, base + held);
			if (got < 0) {
				records = -errno;
				break;
			}
			if (got == 0) break;
			held += got;
			if (!unit) {
				unit = u32(memory + 56);
				memcpy(life, memory + 48, 8);
				offset = 2 * unit;
			}
			continue;
		}
		memcpy(life + 8, &offset, 8);
		uint32_t seed = crc32c(0, life, 16);
		if (crc32c(seed, frame + 8, FRAME_HEADER - 8) != u32(frame + 4)) break;
		if (crc32c(seed, frame + FRAME_HEADER, u32(frame + 12)) != u32(frame + 8)) break;
		records += u32(frame + 16);
		offset += (wanted + unit - 1) / unit * unit;
		if (offset > base + held) {
			base = offset;
			held = 0;
		}
	}
	close(file);
	return records;
}

/* Reads so many blocks of 1 MiB from the start of a file, past the page cache if `direct`. Gives how many
 * there were, of which the last may be cut short, or a negative errno. */
int walk_read(const char *path, unsigned blocks, unsigned direct) {
	int file = open(path, O_RDONLY | O_CLOEXEC | (direct ? O_DIRECT : 0));
	if (file < 0) return -errno;
	int done = 0;
	while (done < (int)blocks) {
		ssize_t got = pread(file, memory, BLOCK, (off_t)done * BLOCK);
		if (got < 0) done = -errno;
		if (got <= 0) break;
		done++;
	}
	close(file);
	return done;
}

int walk_close(void) {
	free(memory);
	return 0;
}
