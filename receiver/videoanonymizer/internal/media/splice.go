// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
)

// ErrSplice means that copied parts of an output and newly encoded parts cannot be joined in one file, so that all
// frames have to be encoded.
var ErrSplice = errors.New("the parts of the video cannot be joined")

// part is a run of frames of a spliced video.
type part struct {
	from, to int64
	segment  int // -1 if the frames are copied from the base
}

// Splice is like Create, but for a video most of whose frames are copied from base, an output with the same plan. Copy
// and Write add the frames in order. Finish fails with ErrSplice if the parts cannot be joined.
func (t Tools) Splice(ctx context.Context, tempPath string, plan Plan, base Info) (*Writer, error) {
	if plan.container.late || plan.container.name == "avi" {
		return nil, fmt.Errorf("%w: %s does not say which frames its packets hold", ErrSplice, plan.container.name)
	}
	return t.create(ctx, tempPath, plan, writerStart{base: &base})
}

// Copy adds the next frames, which have these PTS, from the base, where they have the same positions. They must be
// whole segments of the base.
func (w *Writer) Copy(pts []int64) error {
	if w.err == nil {
		w.err = w.copyFrames(pts)
	}
	return w.err
}

func (w *Writer) copyFrames(pts []int64) error {
	if len(pts) == 0 {
		return nil
	}
	if err := w.EndSegment(); err != nil {
		return err
	}
	w.beginAt(pts[0])
	for _, at := range pts {
		if w.frames > 0 && at <= w.times.last {
			return fileError(w.temp, ErrUnsupported, "the time of frame %d is not after that of the previous one", w.frames)
		}
		w.times.add(at)
		w.frames++
	}
	from := w.frames - int64(len(pts))
	if last := len(w.parts) - 1; last >= 0 && w.parts[last].segment < 0 {
		w.parts[last].to = w.frames
		return nil
	}
	w.parts = append(w.parts, part{from, w.frames, -1})
	return nil
}

// EndSegment ends the current segment, if there is one, so that the next frame begins another.
func (w *Writer) EndSegment() error {
	if w.stdin == nil {
		return nil
	}
	if err := w.seal(w.ctx); err != nil {
		return err
	}
	w.parts = append(w.parts, part{w.segmentStart, w.frames, len(w.segments) - 1})
	return nil
}

// Times returns the sorted PTS of the packets of the video stream. If each packet holds a frame, as in all files that a
// Writer makes, they are the PTS of the frames.
func (t Tools) Times(ctx context.Context, info Info) (pts []int64, err error) {
	f, err := info.openAgain()
	if err != nil {
		return nil, err
	}
	args := append([]string{"-hide_banner", "-loglevel", "fatal"}, inputArgs(info.limits)...)
	args = append(args, "-select_streams", strconv.Itoa(info.StreamIndex), "-show_entries", "packet=pts,dts,size",
		"-of", "csv=p=0", "-i", inputURL)
	_, err = t.stream(ctx, t.FFprobe, args, streams{source: f}, info.limits.reading(), func(r io.Reader) error {
		lines := bufio.NewReaderSize(r, 64<<10)
		for {
			line, err := readLine(lines)
			if fields := bytes.Split(line, []byte(",")); len(fields) >= 3 && string(fields[2]) != "0" {
				at, failed := strconv.ParseInt(string(fields[0]), 10, 64)
				if failed != nil {
					at, failed = strconv.ParseInt(string(fields[1]), 10, 64)
				}
				if failed != nil {
					return fmt.Errorf("packet %d has no time", len(pts))
				}
				pts = append(pts, at)
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
		}
	})
	if err != nil {
		return nil, fileError(info.Path, ErrTool, "its times cannot be read: %v", err)
	}
	slices.Sort(pts)
	return pts, nil
}

// Rescale converts a time from one unit to another, both in seconds.
func Rescale(v int64, from, to Rational) int64 { return rescale(v, from, to) }

// joinParts writes the parts one after the other: the first with its description, and only the fragments of the others.
func (w *Writer) joinParts(to io.Writer) error {
	s := &splicer{to: to}
	next := 0
	copied := func(base io.Reader) error {
		for at := int64(0); next < len(w.parts); next++ {
			p := w.parts[next]
			if p.segment >= 0 {
				if err := w.joinSegment(s, p.segment); err != nil {
					return err
				}
				continue
			}
			if err := s.skip(base, p.from-at); err != nil {
				return err
			}
			if err := s.copy(base, p.to-p.from); err != nil {
				return err
			}
			at = p.to
		}
		return nil
	}
	if !slices.ContainsFunc(w.parts, func(p part) bool { return p.segment < 0 }) {
		return copied(nil)
	}
	f, err := w.base.openAgain()
	if err != nil {
		return err
	}
	_, err = w.tools.stream(w.ctx, w.tools.FFmpeg, w.fragmentArgs(), streams{source: f}, w.base.limits.reading(),
		func(r io.Reader) error {
			base := bufio.NewReaderSize(r, 1<<20)
			head, err := s.head(base)
			if err != nil {
				return err
			}
			s.baseHead = head
			if err := copied(base); err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, base)
			return err
		})
	return err
}

func (w *Writer) joinSegment(s *splicer, n int) error {
	f, err := os.Open(w.segmentPath(n))
	if err != nil {
		return fileError(w.segmentPath(n), ErrUnreadable, "%v", rootCause(err))
	}
	defer func() { _ = f.Close() }()
	segment := bufio.NewReaderSize(f, 1<<20)
	head, err := s.head(segment)
	if err != nil {
		return err
	}
	if err := s.begin(head); err != nil {
		return err
	}
	_, err = io.Copy(s.to, segment)
	return err
}

// fragmentArgs make ffmpeg write the base's packets in fragments like those of segments, one per key frame.
func (w *Writer) fragmentArgs() []string {
	p := w.plan
	args := append(slices.Clone(quietArgs), "-copyts")
	args = append(args, inputArgs(w.base.limits)...)
	args = append(args, "-itsoffset", strconv.Itoa(lead), "-i", inputURL, "-map", "0:"+strconv.Itoa(w.base.StreamIndex),
		"-c", "copy", "-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact", "-flags", "+bitexact")
	if p.codec.name == "h265" {
		args = append(args, "-tag:v", "hev1") // as the encoder's segments have it
	}
	args = append(args, colorArgs(p.info)...)
	if duration := meanDuration(p.info, "TB"); duration != "" {
		args = append(args, "-bsf:v", "setts=pts=PTS:dts=DTS:duration="+duration)
	}
	return append(args, "-movflags", "+frag_keyframe+delay_moov+default_base_moof+frag_discont", "-use_editlist", "0",
		"-avoid_negative_ts", "disabled", "-video_track_timescale", strconv.FormatInt(p.segmentTimeBase().Den, 10),
		"-f", cmp.Or(p.codec.segmentMuxer, "mp4"), "pipe:1")
}

// splicer joins fragments of segments.
type splicer struct {
	to       io.Writer
	baseHead []byte
	first    []byte // description of the first part; nil before it
}

// head reads the boxes before the fragments.
func (s *splicer) head(r *bufio.Reader) (head []byte, err error) {
	for {
		peeked, err := r.Peek(8)
		if err != nil || string(peeked[4:]) == "moof" {
			if errors.Is(err, io.EOF) && len(head) > 0 {
				err = nil
			}
			return head, err
		}
		box, err := readWholeBox(r)
		if err != nil {
			return nil, err
		}
		if kind := string(box[4:8]); kind == "ftyp" || kind == "moov" {
			head = append(head, box...)
		}
	}
}

func readWholeBox(r io.Reader) ([]byte, error) {
	kind, start, rest, err := readBox(r)
	if err != nil {
		return nil, err
	}
	if rest > maxHead {
		return nil, fmt.Errorf("box %q of %d bytes", kind, rest)
	}
	box := slices.Concat(start, make([]byte, rest))
	_, err = io.ReadFull(r, box[len(start):])
	return box, err
}

// begin begins a part. The first part gives the file its description, which all others must share.
func (s *splicer) begin(head []byte) error {
	described, err := sampleDescription(head)
	if err != nil {
		return err
	}
	if s.first == nil {
		s.first = described
		_, err := s.to.Write(head)
		return err
	}
	if !bytes.Equal(s.first, described) {
		return fmt.Errorf("%w: the encoder describes them differently", ErrSplice)
	}
	return nil
}

func (s *splicer) copy(base io.Reader, frames int64) error {
	if err := s.begin(s.baseHead); err != nil {
		return err
	}
	return s.fragments(base, frames, s.to)
}

func (s *splicer) skip(base io.Reader, frames int64) error {
	return s.fragments(base, frames, io.Discard)
}

// fragments copies the next fragments, which must have the given number of frames.
func (s *splicer) fragments(base io.Reader, frames int64, to io.Writer) error {
	var samples int64
	for samples < frames {
		kind, start, rest, err := readBox(base)
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: the output ends before its last frame", ErrSplice)
		}
		if err != nil {
			return err
		}
		if kind == "moof" {
			if rest > maxHead {
				return fmt.Errorf("box %q of %d bytes", kind, rest)
			}
			box := slices.Concat(start, make([]byte, rest))
			if _, err := io.ReadFull(base, box[len(start):]); err != nil {
				return err
			}
			samples += samplesOf(box[8:])
			if _, err := to.Write(box); err != nil {
				return err
			}
			// The samples follow.
			if kind, start, rest, err = readBox(base); err != nil {
				return err
			}
		}
		if kind != "mdat" {
			if _, err := io.CopyN(io.Discard, base, rest); err != nil {
				return err
			}
			continue
		}
		if _, err := to.Write(start); err != nil {
			return err
		}
		if _, err := io.CopyN(to, base, rest); err != nil {
			return err
		}
	}
	if samples != frames {
		return fmt.Errorf("%w: no key frame is where a segment begins", ErrSplice)
	}
	return nil
}

// eachBox calls use for each box in boxes.
func eachBox(boxes []byte, use func(kind string, content []byte)) {
	for len(boxes) >= 8 {
		size := int(binary.BigEndian.Uint32(boxes))
		if size < 8 || size > len(boxes) {
			return
		}
		use(string(boxes[4:8]), boxes[8:size])
		boxes = boxes[size:]
	}
}

// samplesOf counts the samples of a fragment (ISO/IEC 14496-12, 8.8.8).
func samplesOf(moof []byte) (n int64) {
	eachBox(moof, func(kind string, traf []byte) {
		if kind != "traf" {
			return
		}
		eachBox(traf, func(kind string, trun []byte) {
			if kind == "trun" && len(trun) >= 8 {
				n += int64(binary.BigEndian.Uint32(trun[4:]))
			}
		})
	})
	return n
}

// visualSampleEntry is the size of the fields of a sample entry before the boxes in it (ISO/IEC 14496-12, 12.1.3).
const visualSampleEntry = 78

// sampleDescription returns what a decoder needs to know about the samples that follow, and the unit of their times.
func sampleDescription(head []byte) (described []byte, err error) {
	var walk func(kind string, content []byte)
	walk = func(kind string, content []byte) {
		switch kind {
		case "moov", "trak", "mdia", "minf", "stbl":
			eachBox(content, walk)
		case "mdhd":
			if len(content) >= 16 {
				described = append(append(described, kind...), content[12:16]...) // the unit
			}
		case "stsd":
			if len(content) < 8 {
				return
			}
			eachBox(content[8:], func(kind string, entry []byte) {
				if len(entry) < visualSampleEntry {
					return
				}
				described = append(append(described, kind...), entry[24:28]...) // width and height
				eachBox(entry[visualSampleEntry:], func(kind string, content []byte) {
					if kind != "btrt" { // bit rates
						described = append(append(described, kind...), content...)
					}
				})
			})
		}
	}
	eachBox(head, walk)
	if len(described) == 0 {
		return nil, fmt.Errorf("%w: a part has no description", ErrSplice)
	}
	return described, nil
}
