// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"context"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
)

// SecondLook searches a sample of an output's frames with config.AsSecondLook. It calls use with the number of each
// frame and the heads found in it, including those under masks. times are the times of all frames of the output, in
// seconds since the first one. It returns the size of the sample.
func (r *Runner) SecondLook(ctx context.Context, output string, times []float64,
	use func(frame int, heads []mask.Head)) (sample int, err error) {
	if len(times) == 0 {
		return 0, nil
	}
	info, err := r.Tools.Probe(ctx, output, r.Config.Limits)
	if err != nil {
		return 0, err
	}
	frames := spread(len(times), sampleSize(inDuration(times[len(times)-1])))
	at := make([]time.Duration, len(frames))
	for i, frame := range frames {
		at[i] = inDuration(times[frame])
	}
	harder := r.with(r.Config.AsSecondLook(), r.Models.second)
	err = harder.search(ctx, info, at, func(i int, heads []mask.Head, err error) error {
		if err == nil {
			use(frames[i], heads)
		}
		return err
	})
	return len(frames), err
}

func inDuration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }
