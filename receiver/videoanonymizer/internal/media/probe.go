// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"time"
)

// Limits refuse, with ErrLimit, what would take more than its share of the machine. A zero field takes its default.
type Limits struct {
	// MaxWidth and MaxHeight are in pixels. Default 16384.
	MaxWidth, MaxHeight int
	// MaxPixels is the largest area of a frame. Default 8192 x 8192.
	MaxPixels int64
	// MaxDuration is the longest video. Default 48 h.
	MaxDuration time.Duration
	// MaxFrameRate is in frames a second. Default 1000.
	MaxFrameRate float64
	// MaxFrames is the most frames of a video, both as announced and as decoded. Default 20 million.
	MaxFrames int64
	// MaxStreams is the most streams of any kind in a file. Default 64.
	MaxStreams int
	// ProbeTimeout is the longest look at a file's headers. Default 1 min.
	ProbeTimeout time.Duration

	_ struct{}
}

// Info is what a video is, as far as its headers tell.
type Info struct {
	// Path is the absolute path that was probed.
	Path string
	// Size is the file's length in bytes.
	Size int64
	// Container is ffmpeg's name of the demuxer, for example "mov,mp4,m4a,3gp,3g2,mj2" or "matroska,webm".
	Container string
	// Codec is ffmpeg's name of the video codec, for example h264, hevc, vp9.
	Codec string
	// StreamIndex is the place of the video stream among all streams.
	StreamIndex int
	// SourceFormat is ffmpeg's name of the pixel format as coded; Format is the one that frames are handed out in.
	SourceFormat string
	Format       PixelFormat
	// Width and Height are as displayed, after Rotation, in pixels.
	Width, Height int
	// SAR is the sample aspect ratio as displayed; 0/1 where the file does not say.
	SAR Rational
	// Rotation is how far frames are turned clockwise for display, in degrees 0 to 359. Frames come out turned already.
	Rotation int
	// TimeBase is the unit of PTS in seconds.
	TimeBase Rational
	// FrameRate is the mean rate in frames a second, 0/1 if unknown; the true times are the frames' PTS.
	FrameRate Rational
	// Duration is the video stream's, or the file's where the stream has none; 0 if unknown.
	Duration time.Duration
	// EstimatedFrames is from the index or from Duration times FrameRate; 0 if unknown. For progress only.
	EstimatedFrames int64
	// FullRange tells that luma goes from 0 to the largest value. The four colour tags are ffmpeg's names, "" if unknown.
	FullRange                                              bool
	ColorRange, ColorPrimaries, ColorTransfer, ColorMatrix string
	// FieldOrder is ffmpeg's: "progressive", "tt", "bb", "tb", "bt", or "" if unknown.
	FieldOrder string
	// VideoStreams, AudioStreams and OtherStreams count the streams; only one video stream is read.
	VideoStreams, AudioStreams, OtherStreams int

	limits Limits
	id     fileID
}

// Probe reads the headers of the video at path. It fails with one of the causes ErrNotVideo, ErrUnreadable, ErrVanished,
// ErrNoVideoStream, ErrDamaged, ErrUnsupported, ErrLimit, ErrTool, or the context's error.
func (t Tools) Probe(ctx context.Context, path string, limits Limits) (Info, error) {
	return Info{}, fileError(path, ErrUnsupported, "not built yet")
}

type fileID struct{}
