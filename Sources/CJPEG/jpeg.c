#include "CJPEG.h"

// jpeglib.h needs FILE.
#include <stdio.h>

#include <jpeglib.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

// State of the libjpeg callbacks, which receive a pointer to the first member.
typedef struct context {
    struct jpeg_error_mgr manager;
    jmp_buf end;
    char *message;
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

// Level -1 is damage that libjpeg would hide, such as truncated data.
static void on_message(j_common_ptr jpeg, int level) {
    if (level < 0) on_error(jpeg);
}

void cjpeg_release(cjpeg_image *image) {
    free(image->pixels);
    *image = (cjpeg_image){0};
}

static void read_image(struct jpeg_decompress_struct *jpeg, context *state, uint64_t pixel_limit, cjpeg_image *image) {
    jpeg_read_header(jpeg, TRUE);
    if (jpeg->num_components != 1 && jpeg->num_components != 3) fail(state, "the colours are neither grey nor RGB");
    if ((uint64_t)jpeg->image_width * jpeg->image_height > pixel_limit) fail(state, "the image is too large");
    jpeg->out_color_space = JCS_RGB;
    jpeg_start_decompress(jpeg);
    image->width = jpeg->output_width;
    image->height = jpeg->output_height;
    const size_t row_bytes = (size_t)image->width * 3;
    image->pixels = malloc(row_bytes * image->height);
    if (!image->pixels) fail(state, "out of memory");
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW row = image->pixels + jpeg->output_scanline * row_bytes;
        jpeg_read_scanlines(jpeg, &row, 1);
    }
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
