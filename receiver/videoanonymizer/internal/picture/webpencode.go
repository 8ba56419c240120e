// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package picture

/*
#cgo LDFLAGS: -l:libwebp.so.7
#include <stddef.h>
#include <stdint.h>

// As in libwebp's encode.h, whose package is not needed otherwise: ffmpeg brings the library.
size_t WebPEncodeRGBA(const uint8_t *rgba, int width, int height, int stride, float quality, uint8_t **output);
size_t WebPEncodeLosslessRGBA(const uint8_t *rgba, int width, int height, int stride, uint8_t **output);
void WebPFree(void *output);
*/
import "C"

import (
	"fmt"
	"image"
	"unsafe"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// libwebp encodes 8-bit pixels, with a quality of 1 to 100 or lossless. OpenCV could do the same, but would bring in
// the libraries of all its formats.
func libwebp(pixels *image.NRGBA, quality int) ([]byte, error) {
	from := (*C.uint8_t)(unsafe.Pointer(&pixels.Pix[0]))
	width, height, stride := C.int(pixels.Rect.Dx()), C.int(pixels.Rect.Dy()), C.int(pixels.Stride)
	var encoded *C.uint8_t
	var size C.size_t
	if quality == lossless {
		size = C.WebPEncodeLosslessRGBA(from, width, height, stride, &encoded) //nolint:gocritic // cgo's code
	} else {
		size = C.WebPEncodeRGBA(from, width, height, stride, C.float(quality), &encoded) //nolint:gocritic // likewise
	}
	if size == 0 {
		return nil, fmt.Errorf("%w: libwebp did not encode %v pixels", media.ErrTool, pixels.Rect.Size())
	}
	defer C.WebPFree(unsafe.Pointer(encoded))
	return C.GoBytes(unsafe.Pointer(encoded), C.int(size)), nil
}
