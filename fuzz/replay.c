/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Replays a folder of inputs through a fuzz target: the corpus is a test in every build. */
#include "fuzz.h"

#include <dirent.h>
#include <string.h>

static int replay_file(const char *path)
{
	static uint8_t buf[1 << 20];
	FILE *f = fopen(path, "rb");
	uint8_t *copy;
	size_t n;

	if (!f) {
		perror(path);
		return -1;
	}
	n = fread(buf, 1, sizeof(buf), f);
	(void)fclose(f);
	copy = malloc(n > 0 ? n : 1); /* its own allocation, so that a sanitizer sees an overrun */
	if (!copy)
		return -1;
	if (n > 0)
		memcpy(copy, buf, n);
	(void)LLVMFuzzerTestOneInput(copy, n);
	free(copy);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned n = 0;
	DIR *dir;

	if (argc != 2) {
		(void)fprintf(stderr, "usage: %s CORPUS-FOLDER\n", argv[0]);
		return 2;
	}
	dir = opendir(argv[1]);
	if (!dir) {
		perror(argv[1]);
		return 1;
	}
	for (struct dirent *e; (e = readdir(dir));) {
		char path[4096];

		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", argv[1], e->d_name);
		if (replay_file(path) < 0)
			return 1;
		n++;
	}
	(void)closedir(dir);
	(void)printf("%u inputs replayed\n", n);
	return n > 0 ? 0 : 1;
}
