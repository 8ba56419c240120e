// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"time"
)

// coveredFrom is the masked part of a head's ellipse from which on the head counts as covered.
const coveredFrom = 0.9

// result is what was measured for one variant.
type result struct {
	variant
	// skipped says why nothing was measured.
	skipped string
	CPU     time.Duration // of the program and its child processes, over all clips
	Heads   []scoredHead
	Frames  int // of all clips
	Tears   []scoredTear
	// Faces counts the faces that an independent detector finds in the annotated frames of the sources, and Again those
	// of them that it also finds in the outputs.
	Faces, Again int
	// Outside is the masked part of each annotated frame that does not belong to a person.
	Outside []scoredFrame
}

// scoredFrame is the masked part of an annotated frame that does not belong to a person.
type scoredFrame struct {
	Clip  string
	Frame int
	Share float64 // 0..1
}

// Percent is the same in percent.
func (f scoredFrame) Percent() float64 { return 100 * f.Share }

// scoredHead is a head and how much of it is masked.
type scoredHead struct {
	head
	Clip     string
	Frame    int
	Groups   []string
	Coverage float64     // 0..1
	cut      *image.RGBA // of the output; nil if covered
}

func (h scoredHead) covered() bool { return h.Coverage >= coveredFrom }

// scoredTear is a region where a mask is missing for one frame.
type scoredTear struct {
	tear
	Clip  string
	Frame int
	cuts  [3]*image.RGBA // of the output: the frame before, the frame itself, the frame after
}

// score compares an output with its source, frame by frame.
func (r *result) score(ctx context.Context, independent *cascade, a annotation, sourcePath, outputPath string) error {
	source, err := openVideo(ctx, sourcePath)
	if err != nil {
		return err
	}
	defer source.close()
	output, err := openVideo(ctx, outputPath)
	if err != nil {
		return err
	}
	defer output.close()
	if source.width != output.width || source.height != output.height {
		return fmt.Errorf("%s is %dx%d, its source %dx%d", outputPath, output.width, output.height, source.width,
			source.height)
	}
	annotated := a.Frames
	// Masks and outputs of the previous frame, and of the one before it.
	var last, before bitmap
	var lastOutput, beforeOutput *image.YCbCr
	for n := 0; ; n++ {
		was, errSource := source.next()
		is, errOutput := output.next()
		if errors.Is(errSource, io.EOF) && errors.Is(errOutput, io.EOF) {
			break
		}
		if err := errors.Join(errSource, errOutput); err != nil {
			return fmt.Errorf("frame %d: %w", n, err)
		}
		now := masked(was, is)
		if n >= 2 {
			for _, t := range tears(before, last, now) {
				r.Tears = append(r.Tears, scoredTear{tear: t, Clip: a.Clip, Frame: n - 1,
					cuts: [3]*image.RGBA{cutOut(beforeOutput, t.box), cutOut(lastOutput, t.box), cutOut(is, t.box)}})
			}
		}
		before, last = last, now
		beforeOutput, lastOutput = lastOutput, is
		r.Frames++
		if len(annotated) > 0 && annotated[0].Frame == n {
			r.scoreFrame(a.Clip, annotated[0], now, is)
			faces := independent.found(was, annotated[0].Heads)
			r.Faces += len(faces)
			r.Again += independent.foundAgain(is, faces)
			annotated = annotated[1:]
		}
	}
	if len(annotated) > 0 {
		return fmt.Errorf("%s has no frame %d, but the annotations do", sourcePath, annotated[0].Frame)
	}
	return nil
}

// add includes the scores of another clip.
func (r *result) add(o result) {
	r.Heads = append(r.Heads, o.Heads...)
	r.Frames += o.Frames
	r.Tears = append(r.Tears, o.Tears...)
	r.Faces += o.Faces
	r.Again += o.Again
	r.Outside = append(r.Outside, o.Outside...)
}

func (r *result) scoreFrame(clip string, frame annotatedFrame, m bitmap, output *image.YCbCr) {
	for i, h := range frame.Heads {
		scored := scoredHead{head: h, Clip: clip, Frame: frame.Frame,
			Groups: frame.groups(i, m.width, m.height), Coverage: coverage(m, h.Box)}
		if !scored.covered() {
			scored.cut = cutOut(output, h.Box)
		}
		r.Heads = append(r.Heads, scored)
	}
	r.Outside = append(r.Outside, scoredFrame{clip, frame.Frame, outside(m, frame.Heads)})
}

// count counts the heads of a group, and those of them that are covered.
func (r result) count(group string) (covered, all int) {
	for _, h := range r.Heads {
		for _, g := range h.Groups {
			if g != group {
				continue
			}
			all++
			if h.covered() {
				covered++
			}
		}
	}
	return covered, all
}

// tears counts the masks that blink, and those that shrink for a frame.
func (r result) tears() (blinks, shrinks int) {
	for _, t := range r.Tears {
		if t.blink {
			blinks++
		} else {
			shrinks++
		}
	}
	return blinks, shrinks
}
