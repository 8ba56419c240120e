// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// HEVCPictures are still pictures in HEVC of the same size, as HEIF stores them: each decodes on its own.
type HEVCPictures struct {
	// Parameters are the NAL units of the parameter sets of all pictures.
	Parameters [][]byte
	// Pictures are the NAL units of each picture's slices.
	Pictures [][][]byte
	// Width and Height are in pixels. Pictures that decode to another size are damaged.
	Width, Height int
	// Colors, if not nil, override the stream's color tags, except where they are unspecified. If neither says anything,
	// the colors are BT.601 in full range.
	Colors *HEVCColors
	// Profile means that an ICC profile defines the colors. Without one, primaries are refused unless they are those of
	// sRGB, or TV primaries that are close to them.
	Profile bool
}

// HEVCColors are color tags, as ITU-T H.273 numbers.
type HEVCColors struct {
	Primaries, Transfer, Matrix uint16
	FullRange                   bool
}

// matrices are the scaler's names for the matrices that it knows, and transfers are ffmpeg's names for the transfer
// functions of HDR, both by H.273's numbers. matrixNames are the scaler's names by ffmpeg's names; an unspecified
// matrix means BT.601 in HEIF. primaries and primariesNames are those that look right as sRGB's.
var (
	matrices = map[uint16]string{1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m",
		9: "bt2020"}
	transfers   = map[uint16]string{16: pqTransfer, 18: hlgTransfer}
	matrixNames = map[string]string{"": "bt601", "unknown": "bt601", "bt709": "bt709", "fcc": "fcc", "bt470bg": "bt601",
		"smpte170m": "bt601", "smpte240m": "smpte240m", "bt2020nc": "bt2020"}
	primaries      = []uint16{1, 5, 6}
	primariesNames = []string{"", "unknown", "bt709", "bt470bg", "smpte170m"}
)

// unspecified is the number in H.273 for an unspecified tag.
const unspecified = 2

// ErrNoHEVC means that it is this machine's ffmpeg that does not support a file.
var ErrNoHEVC = fmt.Errorf("%w: this ffmpeg does not decode HEVC, which HEIC contains: install a build that does",
	ErrUnsupported)

// endOfSequence is a NAL unit after which the next picture depends on nothing before it, and the decoder holds no
// picture back.
var endOfSequence = []byte{36 << 1, 1}

// DecodeHEVC decodes pictures and calls use with each, in order, as a frame of 8 bits in full range and BT.601, with
// the picture's own subsampling. The frame is valid until use returns. DecodeHEVC fails with ErrDamaged,
// ErrUnsupported, ErrLimit, ErrStalled, ErrInterrupted, ErrTool, the context's error or the error of use.
func (t Tools) DecodeHEVC(ctx context.Context, p HEVCPictures, limits Limits, use func(*Frame) error) error {
	limits = limits.withDefaults()
	if err := limits.CheckSize(p.Width, p.Height); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, defaultStall, ErrStalled)
	defer cancel()
	filter, format, err := t.probeHEVC(ctx, p, limits)
	if err != nil {
		return err
	}
	args := []string{"-hide_banner", "-nostats", "-loglevel", "repeat+level+error", "-xerror",
		"-max_pixels", strconv.FormatInt(limits.MaxPixels, 10), "-protocol_whitelist", "pipe",
		"-f", "hevc", "-c:v", "hevc", "-i", "pipe:0", "-map", "0:v:0", "-filter:v", filter, "-fps_mode", "passthrough",
		"-pix_fmt", strings.Replace(format.Name, "yuv", "yuvj", 1), "-c:v", "rawvideo", "-f", "rawvideo", "pipe:1"}
	frame := &Frame{Width: p.Width, Height: p.Height, Format: format, FullRange: true, BT601: true}
	buffer := make([]byte, format.FrameBytes(p.Width, p.Height))
	rest := buffer
	for i := range format.AllPlanes() {
		w, h := format.PlaneSize(i, p.Width, p.Height)
		frame.Planes[i] = Plane{Data: rest[:w*h], Width: w, Height: h}
		rest = rest[w*h:]
	}
	complaint, err := t.feed(ctx, t.FFmpeg, args, p.stream(), limits, func(r io.Reader) error {
		for i := range p.Pictures {
			if _, err := io.ReadFull(r, buffer); err != nil {
				return fmt.Errorf("%w: only %d of %d pictures in it can be decoded", ErrDamaged, i, len(p.Pictures))
			}
			frame.Index = i
			if err := use(frame); err != nil {
				return err
			}
		}
		if n, _ := io.Copy(io.Discard, r); n > 0 {
			return fmt.Errorf("%w: it decodes to more than %d pictures", ErrDamaged, len(p.Pictures))
		}
		return nil
	})
	return hevcError(ctx, complaint, err)
}

// probeHEVC returns the filter that converts the pictures, and the format that it converts them to. They are damaged if
// their size is not p's.
func (t Tools) probeHEVC(ctx context.Context, p HEVCPictures, limits Limits) (
	filter string, to PixelFormat, err error,
) {
	first := p
	first.Pictures = p.Pictures[:1]
	timed, cancel := context.WithTimeoutCause(ctx, limits.ProbeTimeout, ErrStalled)
	defer cancel()
	var answer []byte
	complaint, err := t.feed(timed, t.FFprobe, []string{"-hide_banner", "-loglevel", "repeat+level+error",
		"-max_pixels", strconv.FormatInt(limits.MaxPixels, 10), "-protocol_whitelist", "pipe", "-f", "hevc", "-show_entries",
		"stream=width,height,pix_fmt,color_range,color_space,color_transfer,color_primaries", "-of", "json", "-i", "pipe:0"},
		first.stream(), limits, func(r io.Reader) (err error) {
			answer, err = io.ReadAll(io.LimitReader(r, maxOutput))
			return err
		})
	if err := hevcError(timed, complaint, err); err != nil {
		return "", to, err
	}
	var probed probed
	if err := json.Unmarshal(answer, &probed); err != nil {
		return "", to, fmt.Errorf("%w: ffprobe's answer: %w", ErrTool, err)
	}
	if len(probed.Streams) != 1 {
		return "", to, fmt.Errorf("%w: %d streams in a picture", ErrDamaged, len(probed.Streams))
	}
	s := probed.Streams[0]
	if s.PixFmt == "" {
		return "", to, ErrNoHEVC
	}
	if s.Width != p.Width || s.Height != p.Height {
		return "", to, fmt.Errorf("%w: its headers contradict each other: pictures of %d x %d and %d x %d pixels",
			ErrDamaged, p.Width, p.Height, s.Width, s.Height)
	}
	return p.conversion(s)
}

// conversion returns the filter for a stream, and the format that it converts to.
func (p HEVCPictures) conversion(s probedStream) (filter string, to PixelFormat, err error) {
	if to, err = eightBits(s.PixFmt); err != nil {
		return "", to, err
	}
	matrix, fullRange, transfer := matrixNames[s.Matrix], s.Range != "tv", s.Transfer
	usual := slices.Contains(primariesNames, s.Primaries)
	if c := p.Colors; c != nil {
		fullRange = c.FullRange
		if c.Matrix != unspecified {
			matrix = matrices[c.Matrix]
		}
		if c.Transfer != unspecified {
			transfer = transfers[c.Transfer]
		}
		if c.Primaries != unspecified {
			usual = slices.Contains(primaries, c.Primaries)
		}
	}
	filter = fmt.Sprintf("scale=%d:%d:out_color_matrix=bt601:out_range=pc", p.Width, p.Height)
	switch {
	case transfer == pqTransfer || transfer == hlgTransfer:
		return "", to, fmt.Errorf("%w: HDR (%s), which would look pale in a JPEG: convert it to a JPEG yourself",
			ErrUnsupported, transfer)
	case !usual && !p.Profile:
		return "", to, fmt.Errorf("%w: its color primaries without an ICC profile: convert it to a JPEG yourself",
			ErrUnsupported)
	case isRGB(s.PixFmt):
		return filter, to, nil
	case matrix == "":
		return "", to, fmt.Errorf("%w: its color matrix (%s): convert it to a JPEG yourself", ErrUnsupported,
			cmp.Or(s.Matrix, "unknown"))
	case fullRange:
		return filter + ":in_range=pc:in_color_matrix=" + matrix, to, nil
	}
	return filter + ":in_range=tv:in_color_matrix=" + matrix, to, nil
}

// eightBits returns the format of 8 bits with the subsampling of a source.
func eightBits(source string) (PixelFormat, error) {
	from, err := readFormat("hevc", source)
	if err != nil {
		return from, err
	}
	for _, name := range []string{"yuv420p", "yuv422p", "yuv444p"} {
		if strings.HasPrefix(from.Name, name) {
			return formatByName(name)
		}
	}
	return formatByName("gray")
}

// stream returns the pictures as a byte stream (ITU-T H.265, annex B). Each picture is a separate sequence.
func (p HEVCPictures) stream() io.Reader {
	start := []byte{0, 0, 0, 1}
	var parts []io.Reader
	add := func(units ...[]byte) {
		for _, unit := range units {
			parts = append(parts, bytes.NewReader(start), bytes.NewReader(unit))
		}
	}
	add(p.Parameters...)
	for _, units := range p.Pictures {
		add(units...)
		add(endOfSequence)
	}
	return io.MultiReader(parts...)
}

// feed is Tools.stream for a program that reads from its stdin.
func (t Tools) feed(ctx context.Context, path string, args []string, from io.Reader, limits Limits,
	read func(io.Reader) error,
) (complaint string, err error) {
	stdinEnd, stdin, err := os.Pipe()
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrTool, err)
	}
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		_, _ = io.Copy(stdin, from) // it need not read everything
		_ = stdin.Close()
	}()
	complaint, err = t.stream(ctx, path, args, streams{stdin: stdinEnd}, limits.reading(), read)
	<-fed // the end that it read from is closed
	return complaint, err
}

// hevcError returns why pictures do not decode, or nil. Any complaint of the decoder counts as damage, since the
// decoder may conceal damage.
func hevcError(ctx context.Context, complaint string, err error) error {
	switch passed := passingFault(complaint, err); {
	case context.Cause(ctx) != nil:
		return context.Cause(ctx)
	case err == nil && complaint == "":
		return nil
	case errors.As(err, new(overLimit)):
		return fmt.Errorf("%w: %w", ErrLimit, err)
	case passed != nil:
		return fmt.Errorf("%w: %s", passed, describe(complaint, err))
	case strings.Contains(complaint, "Unknown decoder"), strings.Contains(complaint, "Unknown input format"):
		return ErrNoHEVC
	case complaint == "" && !errors.As(err, new(*exec.ExitError)):
		return err
	}
	return fmt.Errorf("%w: it cannot be decoded: %s", ErrDamaged, describe(complaint, err))
}
