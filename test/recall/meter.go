// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/footage"
)

// meter measures variants.
type meter struct {
	program     program
	peer        *peer // nil if it is not installed
	independent *cascade
	// anew ignores earlier measurements, because they contain no images.
	anew bool
}

func newMeter(ctx context.Context, anew bool) (*meter, error) {
	path, err := footage.Clip("source/haarcascade_frontalface_alt2.xml")
	if err != nil {
		return nil, err
	}
	independent, err := readCascade(path)
	if err != nil {
		return nil, err
	}
	p, err := findPeer(ctx)
	if err != nil && !errors.Is(err, errNoPeer) {
		return nil, err
	}
	return &meter{peer: p, independent: independent, anew: anew}, nil
}

// measure runs all clips through a variant, or reuses earlier measurements. A variant that cannot be measured here is
// skipped.
func (m *meter) measure(ctx context.Context, v variant, annotations []annotation) (r result, err error) {
	r = result{variant: v}
	if v.threshold > 0 && m.peer == nil {
		r.skipped = errNoPeer.Error()
		return r, nil
	}
	if v.threshold == 0 {
		if r.skipped = m.program.refused(ctx, v); r.skipped != "" {
			return r, nil
		}
	}
	if v.equalTo != "" {
		return m.equalized(ctx, v, annotations)
	}
	r.clips, err = m.clips(ctx, v, annotations)
	if errors.Is(err, errNotStarted) && v.settings != "" {
		return result{variant: v, skipped: err.Error()}, nil
	}
	return r, err
}

// equalized measures the peer with the threshold at which it covers as many heads as another variant.
func (m *meter) equalized(ctx context.Context, v variant, annotations []annotation) (result, error) {
	others, err := chosen(variants, v.equalTo, "variant", func(v variant) string { return v.name })
	if err != nil {
		return result{}, err
	}
	other, err := m.measure(ctx, others[0], annotations)
	if err != nil {
		return result{}, err
	}
	covered, all := other.selected("", both).count(groupNames[0])
	r, reached, err := m.equalCoverage(ctx, v, annotations, float64(covered)/float64(max(1, all)))
	r.about += fmt.Sprintf(": %g", r.threshold)
	if !reached {
		r.about += ", the lowest that was tried, where it does not yet"
	}
	r.about += ". At such thresholds, deface takes more than a minute per frame of 1080p, so only the annotated frames " +
		"were measured, with a faster non-maximum suppression that keeps the same boxes"
	return r, err
}

// atOnce is the number of clips measured at the same time.
const atOnce = 2

func (m *meter) clips(ctx context.Context, v variant, annotations []annotation) ([]scoredClip, error) {
	key, err := m.key(v)
	if err != nil {
		return nil, err
	}
	return each(annotations, func(a annotation) (scoredClip, error) { return m.clip(ctx, v, a, key) })
}

// each measures the clips of annotations, some at the same time.
func each(annotations []annotation, measure func(annotation) (scoredClip, error)) ([]scoredClip, error) {
	clips, errs := make([]scoredClip, len(annotations)), make([]error, len(annotations))
	var group sync.WaitGroup
	running := make(chan struct{}, atOnce)
	for i, a := range annotations {
		group.Go(func() {
			running <- struct{}{}
			defer func() { <-running }()
			if clips[i], errs[i] = measure(a); errs[i] != nil {
				errs[i] = fmt.Errorf("%s: %w", a.Clip, errs[i])
			}
		})
	}
	group.Wait()
	return clips, errors.Join(errs...)
}

// key returns what the outputs of a variant depend on, besides the clips.
func (m *meter) key(v variant) ([]any, error) {
	if v.threshold > 0 {
		return []any{m.peer.version, v.threshold}, nil
	}
	return m.program.key(v)
}

// clip measures a clip, or reuses an earlier measurement with the same program, models, clip and annotations.
func (m *meter) clip(ctx context.Context, v variant, a annotation, key []any) (scoredClip, error) {
	source, err := footage.Clip(a.Clip)
	if err != nil {
		return scoredClip{}, err
	}
	return m.reused(key, source, a, func() (scoredClip, error) { return m.score(ctx, v, a, source) })
}

// reused returns an earlier measurement with the same key, source and annotations, or calls compute.
func (m *meter) reused(key []any, source string, a annotation, compute func() (scoredClip, error)) (scoredClip, error) {
	if m.anew {
		return compute()
	}
	content, err := digestFiles(source)
	if err != nil {
		return scoredClip{}, err
	}
	return cached(slices.Concat(key, []any{content, a}), compute)
}

// score runs a clip through a variant, and scores the output.
func (m *meter) score(ctx context.Context, v variant, a annotation, clip string) (scoredClip, error) {
	dir, err := os.MkdirTemp("", "recall")
	if err != nil {
		return scoredClip{}, err
	}
	defer os.RemoveAll(dir)
	var made produced
	if v.threshold > 0 {
		made, err = m.peer.anonymize(ctx, v, clip, dir)
	} else {
		made, err = m.program.anonymize(ctx, v, clip, dir)
	}
	if err != nil {
		return scoredClip{}, err
	}
	if made.source != clip {
		if a, err = a.movedTo(clip, made.source); err != nil {
			return scoredClip{}, err
		}
	}
	scored, err := score(ctx, m.independent, a, made.source, made.output)
	if err != nil {
		return scoredClip{}, err
	}
	scored.CPU = made.cpu
	return *scored, nil
}
