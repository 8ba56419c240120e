// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"time"
)

// coveredFrom is the masked share of a head's ellipse from which the head counts as covered.
const coveredFrom = 0.9

// result has the measurements of one variant.
type result struct {
	variant
	// skipped says why nothing was measured.
	skipped string
	clips   []scoredClip
}

// scoredClip has the measurements of one clip, or of several.
type scoredClip struct {
	Clip, Category string
	// Excerpt means that only the annotated frames were measured: nothing about blinks, ghosts or speed.
	Excerpt bool
	CPU     time.Duration // of the program and its child processes, without startup
	Frames  map[string]int
	Heads   []scoredHead
	Tears   []scoredTear
	Ghosts  []scoredGhost
	// Outside has the share of each annotated frame that is masked where no head is.
	Outside []scoredFrame
	// Faces is the number of faces that an independent detector finds in the annotated frames of the source, and Again is
	// how many of them it also finds in the output.
	Faces, Again int
}

// scoredFrame is the share of an annotated frame that is masked where no head is.
type scoredFrame struct {
	Clip  string
	Frame int
	Half  string
	Share float64 // 0..1
}

// Percent returns the share in percent.
func (f scoredFrame) Percent() float64 { return 100 * f.Share }

// scoredHead is a head and how much of it is masked.
type scoredHead struct {
	head
	Clip     string
	Frame    int
	Half     string
	Groups   []string
	Coverage float64     // 0..1
	Tight    float64     // area masked for it, relative to its ellipse
	cut      *image.RGBA // of the output; nil if covered
}

func (h scoredHead) covered() bool { return h.Coverage >= coveredFrom }

// scoredTear is a region where a mask is missing for one frame.
type scoredTear struct {
	tear
	Clip  string
	Frame int
	Half  string
	cuts  [3]*image.RGBA // of the output: the frame before, the frame itself, the frame after
}

// scoredGhost is a ghost with the half of its first annotated frame.
type scoredGhost struct {
	ghost
	Half string
}

// score compares an output with its source, frame by frame.
func score(ctx context.Context, independent *cascade, a annotation, sourcePath, outputPath string) (
	*scoredClip, error,
) {
	source, err := openVideo(ctx, sourcePath)
	if err != nil {
		return nil, err
	}
	defer source.close()
	output, err := openVideo(ctx, outputPath)
	if err != nil {
		return nil, err
	}
	defer output.close()
	if source.width != output.width || source.height != output.height {
		return nil, fmt.Errorf("%s is %dx%d, its source %dx%d", outputPath, output.width, output.height, source.width,
			source.height)
	}
	s := scorer{independent: independent, annotation: a,
		scoredClip: scoredClip{Clip: a.Clip, Category: a.Category, Frames: map[string]int{}}}
	for n := 0; ; n++ {
		was, errSource := source.next()
		is, errOutput := output.next()
		if errors.Is(errSource, io.EOF) && errors.Is(errOutput, io.EOF) {
			break
		}
		if err := errors.Join(errSource, errOutput); err != nil {
			return nil, fmt.Errorf("frame %d: %w", n, err)
		}
		s.next(n, was, is)
	}
	if last := len(a.Frames) - 1; last >= 0 && a.Frames[last].Frame >= len(source.times) {
		return nil, fmt.Errorf("%s has no frame %d, but the annotations do", sourcePath, a.Frames[last].Frame)
	}
	for _, g := range s.ghosts.ghosts(a.Clip, source.times) {
		s.Ghosts = append(s.Ghosts, scoredGhost{g, a.half(g.Frame)})
	}
	return &s.scoredClip, nil
}

// scorer scores the successive frames of a clip.
type scorer struct {
	scoredClip
	independent *cascade
	annotation  annotation
	ghosts      ghostWatch
	// Masks and outputs of the previous frame, and of the one before it.
	last, before             bitmap
	lastOutput, beforeOutput *image.YCbCr
}

func (s *scorer) next(n int, was, is *image.YCbCr) {
	now := masked(was, is)
	if n >= 2 {
		for _, t := range tears(s.before, s.last, now) {
			s.Tears = append(s.Tears, scoredTear{tear: t, Clip: s.Clip, Frame: n - 1, Half: s.annotation.half(n - 1),
				cuts: [3]*image.RGBA{cutOut(s.beforeOutput, t.Box), cutOut(s.lastOutput, t.Box), cutOut(is, t.Box)}})
		}
	}
	s.before, s.last = s.last, now
	s.beforeOutput, s.lastOutput = s.lastOutput, is
	s.Frames[s.annotation.half(n)]++
	regions := components(now)
	var annotated *annotatedFrame
	for _, frame := range s.annotation.Frames {
		if frame.Frame == n {
			annotated = &frame
			s.scoreFrame(frame, now, regions, is)
			faces := s.independent.found(was, frame.Heads)
			s.Faces += len(faces)
			s.Again += s.independent.foundAgain(is, faces)
		}
	}
	s.ghosts.next(regions, annotated)
}

func (s *scorer) scoreFrame(frame annotatedFrame, m bitmap, r regions, output *image.YCbCr) {
	half := s.annotation.half(frame.Frame)
	tight := r.tight(frame.Heads)
	for i, h := range frame.Heads {
		scored := scoredHead{head: h, Clip: s.Clip, Frame: frame.Frame, Half: half,
			Groups: frame.groups(i, m.width, m.height), Coverage: coverage(m, h.Box), Tight: tight[i]}
		if !scored.covered() {
			scored.cut = cutOut(output, h.Box)
		}
		s.Heads = append(s.Heads, scored)
	}
	s.Outside = append(s.Outside, scoredFrame{s.Clip, frame.Frame, half, outside(m, frame.Heads)})
}

// half returns the half that a frame belongs to: the half of the nearest annotated frame.
func (a annotation) half(n int) string {
	half, least := tuned, math.MaxInt
	for _, frame := range a.Frames {
		if d := max(frame.Frame-n, n-frame.Frame); d < least {
			half, least = cmp.Or(frame.Half, tuned), d
		}
	}
	return half
}
