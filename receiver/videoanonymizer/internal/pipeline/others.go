// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// lookForOthers finds what else to mask besides people. Its time counts toward detection. If it fails, so does the
// frame.
func (r *run) lookForOthers(it *item) error {
	if r.opts.Others == nil {
		return nil
	}
	rec := &it.record
	ctx := inference.WithSpan(r.ctx, rec.DetectionInference)
	return it.timed(&rec.Detection, &rec.DetectionSteps, func() (steps vision.Steps, err error) {
		it.others, steps, err = r.opts.Others.Detect(ctx, it.frame)
		return steps, err
	})
}
