// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"context"
	"image"
	"math"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// runOnCrops runs a model whose only input is uint8 [N,size,size,3] RGB on a square crop around each of the people.
// read gets the first output, valid until it returns, and the crop of each person in pixels of the frame.
func runOnCrops(
	ctx context.Context, session inference.Session, frame *media.Frame, people []Detection, boxScale float32, size int,
	steps *Steps, read func(output []float32, crops []image.Rectangle) error,
) error {
	watch := newStopwatch(steps)
	s := borrowSampler()
	defer returnSampler(s)
	pixels := size * size * 3
	input := borrowBytes(len(people) * pixels)
	defer returnBytes(input)
	crops := make([]image.Rectangle, len(people))
	for i, person := range people {
		crops[i] = squareAround(person.Box, boxScale)
		if err := s.sample(frame, crops[i], (*input)[i*pixels:][:pixels], size, size); err != nil {
			return err
		}
	}
	watch.preprocessed()
	tensor := inference.Tensor{Shape: []int64{int64(len(people)), int64(size), int64(size), 3}, Uint8: *input}
	err := session.Run(ctx, []inference.Tensor{tensor}, func(outputs []inference.Tensor) error {
		watch.inferred()
		return read(outputs[0].Float32, crops)
	})
	if err != nil {
		return err
	}
	watch.postprocessed()
	return nil
}

// squareAround returns the square of whole pixels around the box's center, scale times as wide as its longer side.
func squareAround(b Box, scale float32) image.Rectangle {
	half := max(1, int(math.Ceil(float64(max(b.Width(), b.Height())*scale/2))))
	centerX, centerY := b.Center()
	x, y := int(centerX), int(centerY)
	return image.Rect(x-half, y-half, x+half, y+half)
}
