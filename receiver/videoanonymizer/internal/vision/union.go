// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package vision

import (
	"context"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// union finds the people whom any of its detectors finds.
type union struct {
	detectors []Detector
	overlap   float32
	minSize   float32
}

// NewUnion returns a detector that finds the people whom any of the detectors finds. Of two boxes whose intersection
// over union is larger than overlap, only the better is kept, with its own pose or none. People whose box is less than
// minSize pixels on its longer side are dropped; 0 keeps all.
func NewUnion(detectors []Detector, overlap, minSize float32) Detector {
	if len(detectors) == 1 && minSize <= 0 {
		return detectors[0]
	}
	return &union{detectors: detectors, overlap: overlap, minSize: minSize}
}

// Detect implements Detector. It fails if any of the detectors does: the others may have missed someone.
func (u *union) Detect(ctx context.Context, frame *media.Frame) ([]Detection, Steps, error) {
	var steps Steps
	var all []Detection
	for _, d := range u.detectors {
		people, took, err := d.Detect(ctx, frame)
		steps.Add(took)
		if err != nil {
			return nil, steps, err
		}
		for _, p := range people {
			if max(p.Box.Width(), p.Box.Height()) >= u.minSize {
				all = append(all, p)
			}
		}
	}
	if len(u.detectors) > 1 {
		all = suppressPeople(all, u.overlap)
	}
	return all, steps, nil
}
