// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"cmp"
	"context"
	"fmt"
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
	// StreamCover is an attached picture: the cover of the file, or the thumbnails of its chapters.
	StreamCover StreamKind = "cover"
	// StreamStill is a single frame beside a video.
	StreamStill StreamKind = "still_image"
	// StreamPreview shows the same as a larger stream, judging by samples of both.
	StreamPreview StreamKind = "preview"
)

// VideoStream is one of several video streams in a file.
type VideoStream struct {
	// Index is the stream's index among all streams.
	Index int `json:"index"`
	// Codec is ffmpeg's name, "unknown" if it has none.
	Codec string `json:"codec"`
	// Width and Height are as coded, in pixels.
	Width  int        `json:"width"`
	Height int        `json:"height"`
	Kind   StreamKind `json:"kind"`
	// Taken means that this is the stream that is read.
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

// LeavesOutVideo reports whether a preview is left out: a stream of more than one frame that is not an attached
// picture. It probably shows nothing beyond the stream that is read, but this is not proven.
func (i Info) LeavesOutVideo() bool {
	return slices.ContainsFunc(i.Streams, func(s VideoStream) bool { return s.Kind == StreamPreview })
}

// countedTime is how much of a file is searched for a second frame of streams whose frames are not indexed.
const countedTime = 30 * time.Second

// streamChoice finds out which of several video streams is the video.
type streamChoice struct {
	tools Tools
	info  Info // of the file, as far as it is known
	all   []*probedStream
	// counts are the numbers of frames by stream index, nil before they are counted.
	counts map[int]int64
}

// chooseVideo sets the kind of each video stream. Only one stream of kind StreamVideo remains, or several if they are
// separate videos.
func (t Tools) chooseVideo(ctx context.Context, info Info, p *probed) error {
	c := streamChoice{tools: t, info: info}
	for i := range p.Streams {
		s := &p.Streams[i]
		switch {
		case s.Type != "video":
		case s.Disposition.AttachedPic != 0:
			s.kind = StreamCover
		default:
			s.kind = StreamVideo
			c.all = append(c.all, s)
		}
	}
	if err := c.findStills(ctx); err != nil {
		return err
	}
	return c.findPreviews(ctx, p)
}

// findStills sets the kind of streams that have a single frame while others have more.
func (c *streamChoice) findStills(ctx context.Context) error {
	if len(c.all) < 2 {
		return nil
	}
	single, err := c.singleFrames(ctx, "-read_intervals", "%+"+inSeconds(countedTime))
	// Streams without an index must be read to their end: the second frame may come late.
	unsure := func(s *probedStream) bool { return c.indexed(s) == 0 }
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

// singleFrames returns the streams that have at most one frame in a part of the file.
func (c *streamChoice) singleFrames(ctx context.Context, part ...string) (single []*probedStream, err error) {
	var counts map[int]int64
	unknown := func(s *probedStream) bool { return c.indexed(s) == 0 }
	if slices.ContainsFunc(c.all, unknown) {
		if counts, err = c.count(ctx, part...); err != nil {
			return nil, err
		}
	}
	for _, s := range c.all {
		if cmp.Or(c.indexed(s), counts[s.Index]) <= 1 {
			single = append(single, s)
		}
	}
	return single, nil
}

// indexed returns the number of frames in the container's index, 0 if it has none. Containers that only state the
// number, such as AVI, may state a wrong one.
func (c *streamChoice) indexed(s *probedStream) int64 {
	if !strings.HasPrefix(c.info.Container, "mov") {
		return 0
	}
	return s.indexed()
}

// count returns the numbers of frames in a part of the file, by stream index. Without a part it counts the whole file,
// once.
func (c *streamChoice) count(ctx context.Context, part ...string) (map[int]int64, error) {
	if len(part) == 0 && c.counts != nil {
		return c.counts, nil
	}
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
	counts := map[int]int64{}
	for _, s := range p.Streams {
		counts[s.Index], _ = strconv.ParseInt(s.Packets, 10, 64)
	}
	if len(part) == 0 {
		c.counts = counts
	}
	return counts, nil
}
