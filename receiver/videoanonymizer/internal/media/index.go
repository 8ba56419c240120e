// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrInexact means that the frames of a video and their times are unknown until it is decoded from beginning to end.
var ErrInexact = errors.New("the frames of the video are unknown until they are decoded")

// Index is what the packets of a video say about its frames, in units of its time base.
type Index struct {
	// Times are the PTS of all frames that are shown. They increase.
	Times []int64
	// Keys are the Times at which decoding can begin.
	Keys []int64
}

// Index lists the frames of a video from its packets, all of which it reads. It fails with ErrInexact if they leave any
// doubt: the container must support exact seeking, the video must consist of frames rather than fields, and each packet
// must be a frame with a distinct time, with no more packets than the limits allow. It fails with ErrStalled if ffprobe
// lists no packet for as long as a Reader waits for a frame, and with ErrVanished, ErrUnreadable, ErrIO,
// ErrInterrupted, ErrTool or the context's error for failures that say nothing about the file. A Reader that begins at
// one of the frames still checks each frame.
func (t Tools) Index(ctx context.Context, info Info) (Index, error) {
	if doubt := info.inexact(); doubt != "" {
		return Index{}, fileError(info.Path, ErrInexact, "%s", doubt)
	}
	f, err := info.openAgain()
	if err != nil {
		return Index{}, err
	}
	args := append([]string{"-hide_banner", "-loglevel", "repeat+level+error"}, inputArgs(info.limits)...)
	args = append(args, "-select_streams", strconv.Itoa(info.StreamIndex), "-show_entries", "packet=pts,size,flags",
		"-of", "csv=p=0", "-i", inputURL)
	var index Index
	complaint, err := t.streamUnlessStalled(ctx, args, streams{source: f}, info.limits.reading(), defaultStall,
		func(r io.Reader) error { return index.read(r, info.limits.MaxFrames) })
	passing := passingFault(complaint, err)
	switch {
	case context.Cause(ctx) != nil:
		return Index{}, fileError(info.Path, context.Cause(ctx), "")
	case errors.Is(err, ErrInexact):
		return Index{}, fmt.Errorf("%q: %w", info.Path, err)
	case errors.Is(err, ErrStalled):
		return Index{}, fileError(info.Path, ErrStalled, "no packet from ffprobe for %s", defaultStall)
	case passing != nil:
		return Index{}, fileError(info.Path, passing, "its packets cannot be listed: %s", describe(complaint, err))
	case err != nil:
		return Index{}, fileError(info.Path, ErrInexact, "its packets cannot be listed: %v", err)
	case complaint != "":
		return Index{}, fileError(info.Path, ErrInexact, "%s", tidy(complaint))
	}
	if err := index.sort(); err != nil {
		return Index{}, fmt.Errorf("%q: %w", info.Path, err)
	}
	return index, nil
}

// streamUnlessStalled is stream for ffprobe, which it kills with ErrStalled if no output arrives for the duration
// stall.
func (t Tools) streamUnlessStalled(ctx context.Context, args []string, s streams, b bounds, stall time.Duration,
	read func(io.Reader) error) (complaint string, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(stall, func() { cancel(ErrStalled) })
	defer timer.Stop()
	return t.stream(ctx, t.FFprobe, args, s, b, func(r io.Reader) error {
		return read(watched{r, func() { timer.Reset(stall) }})
	})
}

// watched calls came after each read.
type watched struct {
	io.Reader
	came func()
}

func (w watched) Read(b []byte) (int, error) {
	n, err := w.Reader.Read(b)
	w.came()
	return n, err
}

// inexact returns why the headers already leave doubt, "" if they do not.
func (i Info) inexact() string {
	exact := strings.HasPrefix(i.Container, "mov") || strings.HasPrefix(i.Container, "matroska")
	switch {
	case !exact:
		return "container " + i.Container + " has no index of its frames"
	case i.Duration <= 0:
		return "its length is unknown"
	case i.FieldOrder != "" && i.FieldOrder != "progressive":
		return "its frames may come as fields"
	}
	return ""
}

// read reads ffprobe's lines "pts,size,flags", and fails if there are more frames than most.
func (x *Index) read(r io.Reader, most int64) error {
	lines := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := readLine(lines)
		if len(line) > 0 {
			if err := x.packet(line); err != nil {
				return err
			}
			if int64(len(x.Times)) > most {
				return fmt.Errorf("%w: more than %d frames", ErrInexact, most)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// packet adds a packet, unless an edit list hides it.
func (x *Index) packet(line []byte) error {
	fields := bytes.SplitN(line, []byte(","), 3)
	if len(fields) < 3 {
		return fmt.Errorf("%w: ffprobe says %q about a packet", ErrInexact, line)
	}
	flags := fields[2]
	if bytes.ContainsRune(flags, 'D') {
		return nil
	}
	pts, err := strconv.ParseInt(string(fields[0]), 10, 64)
	if err != nil || string(fields[1]) == "0" || bytes.ContainsRune(flags, 'C') {
		return fmt.Errorf("%w: packet %d has no time, is empty or corrupt", ErrInexact, len(x.Times))
	}
	x.Times = append(x.Times, pts)
	if bytes.ContainsRune(flags, 'K') {
		x.Keys = append(x.Keys, pts)
	}
	return nil
}

// sort sorts the times into presentation order.
func (x *Index) sort() error {
	slices.Sort(x.Times)
	slices.Sort(x.Keys)
	for i := 1; i < len(x.Times); i++ {
		if x.Times[i] == x.Times[i-1] {
			return fmt.Errorf("%w: two packets are shown at %d", ErrInexact, x.Times[i])
		}
	}
	return nil
}
