// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// StreamKind says what a video stream is.
type StreamKind string

const (
	// StreamVideo is a video, which has to be anonymized.
	StreamVideo StreamKind = "video"
	// StreamCover is an image that belongs to the file: its cover, or thumbnails for seeking.
	StreamCover StreamKind = "cover"
	// StreamStill is a single frame beside a video.
	StreamStill StreamKind = "still_image"
	// StreamPreview shows the same as a larger stream.
	StreamPreview StreamKind = "preview"
)

// VideoStream is one of several video streams in a file.
type VideoStream struct {
	// Index is that among all streams.
	Index int `json:"index"`
	// Codec is ffmpeg's name, "" if unknown.
	Codec string `json:"codec"`
	// Width and Height are as coded, in pixels.
	Width  int        `json:"width"`
	Height int        `json:"height"`
	Kind   StreamKind `json:"kind"`
	// Taken tells that this is the stream that is read.
	Taken bool `json:"taken"`
}

// String returns for example "1: h264 1920 x 1080, taken".
func (s VideoStream) String() string {
	what := string(s.Kind)
	if s.Taken {
		what = "taken"
	}
	return fmt.Sprintf("%d: %s %d x %d, %s", s.Index, s.Codec, s.Width, s.Height, what)
}

func describeStreams(streams []VideoStream) string {
	texts := make([]string, len(streams))
	for i, s := range streams {
		texts[i] = s.String()
	}
	return strings.Join(texts, "; ")
}

const (
	// countedTime is how much of a file is searched for a second frame of a stream whose frames no index counts.
	countedTime = 30 * time.Second
	// sampledSeconds is how many frames of two streams are compared, one each second.
	sampledSeconds = 5
	// sampleSide is the width and height of a frame that is compared, in pixels.
	sampleSide = 32
	// sameView is the correlation above which two streams show the same. That of a video and its preview is above 0.99,
	// that of two different views usually below 0.5.
	sameView = 0.95
	// leastDetail is the standard deviation, in gray levels, below which a view has too little detail to be recognized.
	leastDetail = 4
)

// streamChoice finds out which of several video streams is the video.
type streamChoice struct {
	tools Tools
	info  Info // of the file, as far as it is known
	all   []*probedStream
}

// chooseVideo sets the kind of each video stream: only one stream of the kind StreamVideo remains, or all that are
// videos of their own.
func (t Tools) chooseVideo(ctx context.Context, info Info, streams []probedStream) error {
	c := streamChoice{tools: t, info: info}
	var unflagged []*probedStream
	for i := range streams {
		s := &streams[i]
		if s.Type != "video" {
			continue
		}
		s.kind = StreamVideo
		switch {
		case s.Disposition.AttachedPic != 0:
			s.kind = StreamCover
			continue
		case s.Disposition.Thumbnails == 0 && s.Disposition.StillImage == 0:
			unflagged = append(unflagged, s)
		}
		c.all = append(c.all, s)
	}
	if len(c.all) < 2 {
		return nil
	}
	if len(unflagged) > 0 { // otherwise the flags do not tell which one it is
		for _, s := range c.all {
			if !slices.Contains(unflagged, s) {
				s.kind = StreamCover
			}
		}
		c.all = unflagged
	}
	if err := c.findStills(ctx); err != nil {
		return err
	}
	return c.findPreviews(ctx)
}

// findStills sets the kind of streams that have a single frame while others have more.
func (c *streamChoice) findStills(ctx context.Context) error {
	if len(c.all) < 2 {
		return nil
	}
	single, err := c.singleFrames(ctx, "-read_intervals", "%+"+inSeconds(countedTime))
	// Streams without an index must be read to their end: the second frame may come late.
	unsure := func(s *probedStream) bool { return s.indexed() == 0 }
	if err == nil && slices.ContainsFunc(single, unsure) {
		single, err = c.singleFrames(ctx)
	}
	if err != nil {
		return err
	}
	if len(single) == len(c.all) {
		return nil
	}
	for _, s := range single {
		s.kind = StreamStill
	}
	c.all = slices.DeleteFunc(c.all, func(s *probedStream) bool { return s.kind == StreamStill })
	return nil
}

// singleFrames returns the streams of which a part of the file has at most one frame.
func (c *streamChoice) singleFrames(ctx context.Context, part ...string) (single []*probedStream, err error) {
	counts := map[int]int64{}
	unknown := func(s *probedStream) bool { return s.indexed() == 0 }
	if slices.ContainsFunc(c.all, unknown) {
		f, err := c.info.openAgain()
		if err != nil {
			return nil, err
		}
		var p probed
		limits := c.info.limits
		limits.ProbeTimeout = max(limits.ProbeTimeout, time.Hour)
		question := append([]string{"-count_packets", "-show_entries", "stream=index,nb_read_packets"}, part...)
		if err := c.tools.ask(ctx, c.info.Path, f, limits, &p, question...); err != nil {
			return nil, err
		}
		for _, s := range p.Streams {
			counts[s.Index], _ = strconv.ParseInt(s.Packets, 10, 64)
		}
	}
	for _, s := range c.all {
		frames := s.indexed()
		if frames == 0 {
			frames = counts[s.Index]
		}
		if frames <= 1 {
			single = append(single, s)
		}
	}
	return single, nil
}

// findPreviews sets the kind of streams that show the same as the main one, only smaller.
func (c *streamChoice) findPreviews(ctx context.Context) error {
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
	view, err := c.sample(ctx, main)
	if err != nil {
		return err
	}
	for _, s := range c.all {
		// Half as large is clear enough; what is larger than that needs the flag that sets the video off.
		smaller := area(s)*2 <= area(main) ||
			area(s) < area(main) && s.Disposition.Default < main.Disposition.Default
		longer := duration(s.Duration) > duration(main.Duration)+2*time.Second && duration(main.Duration) > 0
		if s == main || !smaller || longer {
			continue
		}
		other, err := c.sample(ctx, s)
		if err != nil {
			return err
		}
		if len(other) <= len(view)+sampleSide*sampleSide && correlation(view, other) >= sameView {
			s.kind = StreamPreview
		}
	}
	return nil
}

// sample decodes the beginning of a stream: small gray frames, fewer or none if it does not decode. It fails if
// something other than the file prevents that.
func (c *streamChoice) sample(ctx context.Context, s *probedStream) ([]byte, error) {
	f, err := c.info.openAgain()
	if err != nil {
		return nil, err
	}
	timed, cancel := context.WithTimeout(ctx, c.info.limits.ProbeTimeout)
	defer cancel()
	args := append(slices.Clone(quietArgs), inputArgs(c.info.limits)...)
	args = append(args, "-i", inputURL, "-map", "0:"+strconv.Itoa(s.Index), "-t", strconv.Itoa(sampledSeconds),
		"-vf", fmt.Sprintf("fps=1:round=up,scale=%d:%d,format=gray", sampleSide, sampleSide),
		"-c:v", "rawvideo", "-f", "rawvideo", "pipe:1")
	var complaint string
	view, err := c.tools.output(timed, c.tools.FFmpeg, args, streams{source: f}, c.info.limits.reading(), &complaint)
	switch {
	case ctx.Err() != nil:
		return nil, fileError(c.info.Path, context.Cause(ctx), "")
	case timed.Err() != nil:
		return nil, fileError(c.info.Path, ErrStalled, "decoding the beginning of stream %d took more than %s",
			s.Index, c.info.limits.ProbeTimeout)
	case err != nil && passingFault(complaint, err) != nil:
		return nil, fileError(c.info.Path, passingFault(complaint, err), "%s", describe(complaint, err))
	}
	return view, nil
}

// correlation is Pearson's, of as many values as both have: 1 if they are the same up to brightness and contrast, and 0
// if either hardly varies.
func correlation(a, b []byte) float64 {
	n := min(len(a), len(b))
	if n == 0 {
		return 0
	}
	var sumA, sumB float64
	for i := range n {
		sumA, sumB = sumA+float64(a[i]), sumB+float64(b[i])
	}
	var aa, bb, ab float64
	for i := range n {
		da, db := float64(a[i])-sumA/float64(n), float64(b[i])-sumB/float64(n)
		aa, bb, ab = aa+da*da, bb+db*db, ab+da*db
	}
	if min(aa, bb) < leastDetail*leastDetail*float64(n) {
		return 0
	}
	return ab / math.Sqrt(aa*bb)
}
