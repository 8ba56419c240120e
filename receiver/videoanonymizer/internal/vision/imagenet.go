// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"fmt"
	"image"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// sampleNormalized fills dst, 3 planes of width x height, with the region of the frame: RGB in 0..1, minus the mean and
// divided by the standard deviation of ImageNet's images.
func sampleNormalized(frame *media.Frame, region image.Rectangle, dst []float32, width, height int) error {
	bytes := borrowBytes(width * height * 3)
	defer returnBytes(bytes)
	if err := sampleImage(frame, region, *bytes, width, height); err != nil {
		return fmt.Errorf("sample an image: %w", err)
	}
	for c := range 3 {
		plane, table := dst[c*width*height:][:width*height], &imageNet[c]
		for i := range plane {
			plane[i] = table[(*bytes)[i*3+c]]
		}
	}
	return nil
}

// imageNet maps a byte of red, green or blue to (v/255 - mean) / deviation.
var imageNet = func() (t [3][256]float32) {
	mean, deviation := [3]float32{.485, .456, .406}, [3]float32{.229, .224, .225}
	for c := range t {
		for v := range t[c] {
			t[c][v] = (float32(v)/255 - mean[c]) / deviation[c]
		}
	}
	return t
}()
