// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

const (
	// sampleLength is the length of a sample of a stream, which has one frame per second.
	sampleLength = 5 * time.Second
	// wholeSample is the length up to which a stream is compared as a whole, rather than by samples of its beginning,
	// middle and end.
	wholeSample = 20 * time.Second
	// sampleLead is how long before a sample decoding begins, so that a key frame comes first. Encoders usually write one
	// at least every 250 frames.
	sampleLead = 12 * time.Second
	// sampleSide is the width and height of a frame that is compared, in pixels.
	sampleSide = 32
	// sameView is the lowest correlation at which two streams count as showing the same. It is above 0.99 for a video and
	// its preview, and usually below 0.5 for two different views.
	sameView = 0.95
	// leastDetail is the standard deviation, in gray levels, below which a view has too little detail to be recognized.
	leastDetail = 4
	// sameGray is how far apart, in gray levels, two views without detail may be.
	sameGray = 8
	// longer is how much longer than the video its preview may be.
	longer = 2 * time.Second
)

// findPreviews sets the kind of streams that show the same as the main one, only smaller.
func (c *streamChoice) findPreviews(ctx context.Context, p *probed) error {
	if len(c.all) < 2 {
		return nil
	}
	area := func(s *probedStream) int { return s.Width * s.Height }
	main := slices.MaxFunc(c.all, func(a, b *probedStream) int {
		if area(a) != area(b) {
			return area(a) - area(b)
		}
		return a.Disposition.Default - b.Disposition.Default
	})
	for _, s := range c.all {
		// At most half the area is clear enough; a larger stream also needs the default flag to distinguish the main one from
		// it.
		smaller := area(s)*2 <= area(main) ||
			area(s) < area(main) && s.Disposition.Default < main.Disposition.Default
		if s == main || !smaller || !p.sameProgram(s.Index, main.Index) {
			continue
		}
		same, err := c.sameViews(ctx, main, s)
		if err != nil {
			return err
		}
		if same {
			s.kind = StreamPreview
		}
	}
	return nil
}

// sameViews reports whether a stream shows the same as the main one, from its beginning to its end.
func (c *streamChoice) sameViews(ctx context.Context, main, s *probedStream) (bool, error) {
	whole, err := c.length(ctx, main)
	if err != nil {
		return false, err
	}
	length, err := c.length(ctx, s)
	if err != nil || length == 0 || length > whole+longer {
		return false, err
	}
	at, each := []time.Duration{0}, length
	if length > wholeSample {
		at, each = []time.Duration{0, length / 2, length - sampleLength}, sampleLength
	}
	recognized := false
	for _, from := range at {
		a, err := c.sample(ctx, main, from, each)
		if err != nil {
			return false, err
		}
		b, err := c.sample(ctx, s, from, each)
		if err != nil {
			return false, err
		}
		same, blank := compareViews(a, b)
		if !same && !blank {
			return false, nil
		}
		recognized = recognized || same
	}
	return recognized, nil
}

// length returns a stream's length as its headers state it, or else as counted from its frames; 0 if unknown.
func (c *streamChoice) length(ctx context.Context, s *probedStream) (time.Duration, error) {
	if stated := duration(s.statedDuration()); stated > 0 {
		return stated, nil
	}
	counts, err := c.count(ctx)
	rate := rational(s.AvgRate).Float()
	if err != nil || rate <= 0 {
		return 0, err
	}
	return time.Duration(float64(counts[s.Index]) / rate * float64(time.Second)), nil
}

// sample decodes a part of a stream: small gray frames, one per second, and fewer or none if it does not decode. It
// fails if something other than the file prevents that.
func (c *streamChoice) sample(ctx context.Context, s *probedStream, from, length time.Duration) ([]byte, error) {
	f, err := c.info.openAgain()
	if err != nil {
		return nil, err
	}
	timed, cancel := context.WithTimeout(ctx, c.info.limits.ProbeTimeout)
	defer cancel()
	lead := min(from, sampleLead)
	args := append(slices.Clone(quietArgs), inputArgs(c.info.limits)...)
	if from > lead {
		args = append(args, "-ss", inSeconds(from-lead))
	}
	args = append(args, "-t", inSeconds(lead+length), "-i", inputURL, "-map", "0:"+strconv.Itoa(s.Index),
		"-vf", fmt.Sprintf("fps=1:round=up,trim=start=%s,scale=%d:%d,format=gray", inSeconds(lead), sampleSide, sampleSide),
		"-c:v", "rawvideo", "-f", "rawvideo", "pipe:1")
	var complaint string
	view, err := c.tools.output(timed, c.tools.FFmpeg, args, streams{source: f}, c.info.limits.reading(), &complaint)
	switch {
	case ctx.Err() != nil:
		return nil, fileError(c.info.Path, context.Cause(ctx), "")
	case timed.Err() != nil:
		return nil, fileError(c.info.Path, ErrStalled, "decoding %s of stream %d took more than %s",
			lead+length, s.Index, c.info.limits.ProbeTimeout)
	case err != nil && passingFault(complaint, err) != nil:
		return nil, fileError(c.info.Path, passingFault(complaint, err), "%s", describe(complaint, err))
	}
	return view, nil
}

// compareViews compares two samples: whether they show the same, and whether they show nothing, such as a dark screen.
func compareViews(a, b []byte) (same, blank bool) {
	const frame = sampleSide * sampleSide
	n := min(len(a), len(b))
	if n == 0 || max(len(a), len(b)) > n+frame {
		return false, false
	}
	var sumA, sumB float64
	for i := range n {
		sumA, sumB = sumA+float64(a[i]), sumB+float64(b[i])
	}
	meanA, meanB := sumA/float64(n), sumB/float64(n)
	var aa, bb, ab float64
	for i := range n {
		da, db := float64(a[i])-meanA, float64(b[i])-meanB
		aa, bb, ab = aa+da*da, bb+db*db, ab+da*db
	}
	detail := leastDetail * leastDetail * float64(n)
	if min(aa, bb) < detail {
		return false, max(aa, bb) < detail && math.Abs(meanA-meanB) <= sameGray
	}
	return ab/math.Sqrt(aa*bb) >= sameView, false // Pearson's correlation: brightness and contrast may differ
}
