// Encodes and decodes RGB8 images as PNG in memory. libpng reports errors by longjmp, which must not cross Swift frames:
// these functions catch it and return false with a message.
#ifndef CPNG_H
#define CPNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CPNG_MESSAGE_BYTES = 128 };

// A text chunk in UTF-8, written as tEXt if it is ASCII, else as iTXt.
typedef struct cpng_text {
    const char *keyword;
    const char *value;
} cpng_text;

// Memory allocated by a call; free it with cpng_release.
typedef struct cpng_bytes {
    uint8_t *data;
    size_t count;
} cpng_bytes;

typedef struct cpng_image {
    uint32_t width, height;
    cpng_bytes pixels;  // height * width * 3
    cpng_bytes texts;   // keyword NUL value NUL ... in file order
} cpng_image;

bool cpng_encode(const uint8_t *pixels, uint32_t width, uint32_t height, const cpng_text *texts, size_t text_count,
                 cpng_bytes *png, char message[CPNG_MESSAGE_BYTES]);

// Converts palette, greyscale, 16-bit colour (high bytes) and interlaced files and drops alpha, as Pillow does. Fails for
// images above pixel_limit, 16-bit greyscale and damage up to the last row.
bool cpng_decode(const uint8_t *png, size_t count, uint64_t pixel_limit, cpng_image *image,
                 char message[CPNG_MESSAGE_BYTES]);

void cpng_release(cpng_bytes *bytes);

#endif
