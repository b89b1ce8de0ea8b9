#include "CJPEG.h"

// jpeglib.h needs FILE.
#include <stdio.h>

#include <jpeglib.h>
// jerror.h needs jpeglib.h.
#include <jerror.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

// State of the libjpeg callbacks, which receive a pointer to the first member.
typedef struct context {
    struct jpeg_error_mgr manager;
    jmp_buf end;
    char *message;
    bool has_all_rows;
} context;

static void fail(context *state, const char *text) {
    strncpy(state->message, text, CJPEG_MESSAGE_BYTES - 1);
    state->message[CJPEG_MESSAGE_BYTES - 1] = 0;
    longjmp(state->end, 1);
}

static void on_error(j_common_ptr jpeg) {
    char text[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, text);
    fail((context *)jpeg->err, text);
}

// Level -1 is damage that libjpeg repairs. Like Pillow, accept all but data that ends before the last row.
static void on_message(j_common_ptr jpeg, int level) {
    context *state = (context *)jpeg->err;
    if (level < 0 && jpeg->err->msg_code == JWRN_JPEG_EOF && !state->has_all_rows) fail(state, "the data ends early");
}

void cjpeg_release(cjpeg_image *image) {
    free(image->pixels);
    *image = (cjpeg_image){0};
}

// Converts inverted CMYK, the convention of Adobe that Pillow assumes for all files, with Pillow's rounding.
static void convert_cmyk(const uint8_t *cmyk, uint8_t *rgb, uint32_t width) {
    for (uint32_t x = 0; x < width; x++) {
        const unsigned white = cmyk[4 * x + 3];
        for (int colour = 0; colour < 3; colour++) {
            const unsigned product = (255u - cmyk[4 * x + colour]) * white + 128;
            rgb[3 * x + colour] = (uint8_t)(white - ((product + (product >> 8)) >> 8));
        }
    }
}

static void read_image(struct jpeg_decompress_struct *jpeg, context *state, uint64_t pixel_limit, cjpeg_image *image) {
    jpeg_read_header(jpeg, TRUE);
    const bool is_cmyk = jpeg->num_components == 4;
    if (jpeg->num_components != 1 && jpeg->num_components != 3 && !is_cmyk)
        fail(state, "the colours are neither grey nor RGB nor CMYK");
    if ((uint64_t)jpeg->image_width * jpeg->image_height > pixel_limit) fail(state, "the image is too large");
    jpeg->out_color_space = is_cmyk ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(jpeg);
    image->width = jpeg->output_width;
    image->height = jpeg->output_height;
    const size_t row_bytes = (size_t)image->width * 3;
    image->pixels = malloc(row_bytes * image->height);
    if (!image->pixels) fail(state, "out of memory");
    // libjpeg frees the row with the decoder.
    JSAMPROW cmyk = is_cmyk ? (*jpeg->mem->alloc_large)((j_common_ptr)jpeg, JPOOL_IMAGE, (size_t)image->width * 4) : NULL;
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW rgb = image->pixels + jpeg->output_scanline * row_bytes;
        JSAMPROW row = is_cmyk ? cmyk : rgb;
        jpeg_read_scanlines(jpeg, &row, 1);
        if (is_cmyk) convert_cmyk(cmyk, rgb, image->width);
    }
    state->has_all_rows = true;
    jpeg_finish_decompress(jpeg);
}

bool cjpeg_decode(const uint8_t *bytes, size_t count, uint64_t pixel_limit, cjpeg_image *image,
                  char message[CJPEG_MESSAGE_BYTES]) {
    *image = (cjpeg_image){0};
    context state = {.message = message};
    struct jpeg_decompress_struct jpeg = {0};
    jpeg.err = jpeg_std_error(&state.manager);
    state.manager.error_exit = on_error;
    state.manager.emit_message = on_message;
    if (setjmp(state.end)) {
        jpeg_destroy_decompress(&jpeg);
        cjpeg_release(image);
        return false;
    }
    jpeg_create_decompress(&jpeg);
    jpeg_mem_src(&jpeg, (unsigned char *)bytes, count);
    read_image(&jpeg, &state, pixel_limit, image);
    jpeg_destroy_decompress(&jpeg);
    return true;
}
