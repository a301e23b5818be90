/* What listing costs at least: getdents64 until it returns 0, each record looked at once. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	size_t size = strtoul(argv[2], NULL, 10);
	char *buffer = malloc(size);
	int fd = open(argv[1], O_RDONLY | O_DIRECTORY);
	if (!buffer || fd < 0)
		return 1;
	unsigned long entries = 0, bytes = 0;
	ssize_t filled;
	while ((filled = getdents64(fd, buffer, size)) > 0)
		for (ssize_t at = 0; at < filled;) {
			struct dirent64 *entry = (struct dirent64 *)(buffer + at);
			entries++;
			bytes += strlen(entry->d_name);
			at += entry->d_reclen;
		}
	printf("%lu entries, %lu bytes\n", entries, bytes);
	return filled < 0;
}
