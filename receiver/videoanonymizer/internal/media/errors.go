// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Causes. Every error of this package about a file wraps one of these, or a context's error, and names the file.
var (
	// ErrNotVideo: not a regular file, empty, or nothing that a known demuxer reads.
	ErrNotVideo = errors.New("not a video")
	// ErrNotPicture: not a regular file, empty, or no picture of a known format, where one is expected.
	ErrNotPicture = errors.New("not a picture")
	// ErrUnreadable: it exists, but cannot be opened or read.
	ErrUnreadable = errors.New("cannot be read")
	// ErrIO: reading it failed, as a disk or a network does. What was read proves nothing about the file.
	ErrIO = errors.New("reading failed")
	// ErrVanished: it no longer exists, or is not the file that was probed.
	ErrVanished = errors.New("gone or replaced")
	// ErrNoVideoStream: a media file with only audio or a cover image.
	ErrNoVideoStream = errors.New("no video stream")
	// ErrSeveralStreams: several videos in one file, such as those of two lenses or programs.
	ErrSeveralStreams = errors.New("several video streams")
	// ErrDamaged: truncated, or parts of it do not decode.
	ErrDamaged = errors.New("damaged")
	// ErrUnsupported: intact, but of a kind that cannot be read or written.
	ErrUnsupported = errors.New("unsupported")
	// ErrLimit: it exceeds the Limits.
	ErrLimit = errors.New("over the limit")
	// ErrUnwritable: the output's folder is missing, read-only or without write permission.
	ErrUnwritable = errors.New("cannot be written")
	// ErrNoSpace: the disk, or a quota, is full.
	ErrNoSpace = errors.New("no space left")
	// ErrExists: a file of the output's name exists; it was left as it is.
	ErrExists = errors.New("already exists")
	// ErrStalled: a child process made no progress for ReadOptions.Stall or WriteOptions.Stall.
	ErrStalled = errors.New("no progress")
	// ErrVerification: the output is not what was written, and would not be in another attempt either.
	ErrVerification = errors.New("failed verification")
	// ErrResume: a video cannot be resumed, and has to be restarted from the beginning.
	ErrResume = errors.New("cannot resume")
	// ErrInterrupted: somebody else ended ffmpeg or ffprobe by a signal, such as the kernel when it is out of memory.
	ErrInterrupted = errors.New("ffmpeg was interrupted")
	// ErrTool: ffmpeg or ffprobe is missing, too old, lacks a part, or failed for a reason of its own.
	ErrTool = errors.New("ffmpeg failed")
)

var reasons = []struct {
	err  error
	word string
}{
	{context.Canceled, "cancelled"},
	{context.DeadlineExceeded, "deadline_exceeded"},
	{ErrNotVideo, "not_video"},
	{ErrNotPicture, "not_picture"},
	{ErrUnreadable, "unreadable"},
	{ErrIO, "io_error"},
	{ErrVanished, "vanished"},
	{ErrNoVideoStream, "no_video_stream"},
	{ErrSeveralStreams, "several_streams"},
	{ErrDamaged, "damaged"},
	{ErrUnsupported, "unsupported"},
	{ErrLimit, "limit"},
	{ErrUnwritable, "unwritable"},
	{ErrNoSpace, "no_space"},
	{ErrExists, "exists"},
	{ErrStalled, "stalled"},
	{ErrVerification, "verification"},
	{ErrResume, "resume"},
	{ErrInterrupted, "interrupted"},
	{ErrTool, "ffmpeg"},
}

// Reason returns the cause of err as a word for telemetry, one of a small fixed set: "not_video", "not_picture",
// "unreadable", "io_error", "vanished", "no_video_stream", "several_streams", "damaged", "unsupported", "limit",
// "unwritable", "no_space", "exists", "stalled", "verification", "resume", "interrupted", "ffmpeg", "cancelled",
// "deadline_exceeded", or "other" for an error of another package. It is "" for nil.
func Reason(err error) string {
	if err == nil {
		return ""
	}
	for _, r := range reasons {
		if errors.Is(err, r.err) {
			return r.word
		}
	}
	return "other"
}

// Permanent reports whether the file itself, or what is made of it, is the cause of err: unless the file changes, every
// attempt fails like that.
func Permanent(err error) bool {
	return slices.ContainsFunc([]error{
		ErrNotVideo, ErrNotPicture, ErrNoVideoStream, ErrSeveralStreams, ErrDamaged, ErrUnsupported, ErrLimit,
		ErrVerification,
	}, func(cause error) bool { return errors.Is(err, cause) })
}

// fileError names the file, the cause (one of those above), and a detail, which may be empty.
func fileError(path string, cause error, format string, args ...any) error {
	detail := strings.TrimSpace(fmt.Sprintf(format, args...))
	if detail == "" {
		return fmt.Errorf("%q: %w", path, cause)
	}
	return fmt.Errorf("%q: %w: %s", path, cause, detail)
}
