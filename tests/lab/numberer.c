/* A program of the guest: writes numbered blocks for ever, past the page cache (O_DIRECT), and says
 * each number on its standard output once the disk has it. Usage: numberer DISK OFFSET BLOCKS
 *
 * Number n fills the block n % BLOCKS from OFFSET on. It begins behind the highest number that it
 * finds there, and says which that is. A write that fails is said and done again.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BLOCK 4096
#define NUMBERS (BLOCK / sizeof(uint64_t))
#define PAUSE 20000 /* microseconds */

static uint64_t block[NUMBERS] __attribute__((aligned(BLOCK)));

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	off_t offset = atoll(argv[2]);
	uint64_t blocks = atoll(argv[3]), highest = 0;
	int disk = open(argv[1], O_RDWR | O_DIRECT);
	if (disk < 0) {
		perror(argv[1]);
		return 1;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (uint64_t i = 0; i < blocks; i++) {
		if (pread(disk, block, BLOCK, offset + i * BLOCK) != BLOCK) {
			perror("read");
			return 1;
		}
		if (block[0] > highest)
			highest = block[0];
	}
	printf("Found %llu\n", (unsigned long long)highest);
	for (uint64_t n = highest + 1;;) {
		for (size_t i = 0; i < NUMBERS; i++)
			block[i] = n;
		if (pwrite(disk, block, BLOCK, offset + (n % blocks) * BLOCK) == BLOCK)
			printf("Written %llu\n", (unsigned long long)n++);
		else
			printf("Failed %llu %d\n", (unsigned long long)n, errno);
		usleep(PAUSE);
	}
}
