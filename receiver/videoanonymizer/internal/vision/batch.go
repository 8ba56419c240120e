// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"errors"
	"fmt"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
)

// inBatches calls estimate for at most maxBatch people at a time, so that memory does not grow with a crowd, and
// returns one result for each person, in order. A batch that does not fit into the device's memory is halved.
func inBatches[T any](
	what string, people []Detection, maxBatch int, estimate func([]Detection, *Steps) ([]T, error),
) ([]T, Steps, error) {
	var steps Steps
	all := make([]T, 0, len(people))
	for batch := max(1, maxBatch); len(all) < len(people); {
		next := people[len(all):min(len(people), len(all)+batch)]
		estimated, err := estimate(next, &steps)
		if errors.Is(err, inference.ErrOutOfMemory) && len(next) > 1 {
			batch = len(next) / 2
			continue
		}
		if err != nil {
			return nil, steps, fmt.Errorf("%s of %d people: %w", what, len(next), err)
		}
		all = append(all, estimated...)
	}
	return all, steps, nil
}

// stopwatch adds the times of one model call to the steps of a frame.
type stopwatch struct {
	steps *Steps
	last  time.Time
}

func newStopwatch(steps *Steps) *stopwatch { return &stopwatch{steps: steps, last: time.Now()} }

func (w *stopwatch) preprocessed() { w.lap(&w.steps.Preprocess, &w.steps.PreprocessBusy) }

func (w *stopwatch) inferred() {
	w.steps.Batches++
	w.lap(&w.steps.Inference, &w.steps.InferenceBusy)
}

func (w *stopwatch) postprocessed() { w.lap(&w.steps.Postprocess, &w.steps.PostprocessBusy) }

func (w *stopwatch) lap(interval *Interval, busy *time.Duration) {
	now := time.Now()
	if interval.Start.IsZero() {
		interval.Start = w.last
	}
	interval.End = now
	*busy += now.Sub(w.last)
	w.last = now
}
