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

// These are the causes of errors. Every error of this package about a file names the file, and wraps one of these or a
// context's error.
var (
	// ErrNotVideo means that the file is not regular, is empty, or is not one that a known demuxer reads.
	ErrNotVideo = errors.New("not a video")
	// ErrNotPicture means that, where a picture is expected, the file is not regular, is empty, or has no known picture
	// format.
	ErrNotPicture = errors.New("not a picture")
	// ErrUnreadable means that the file exists, but cannot be opened or read.
	ErrUnreadable = errors.New("cannot be read")
	// ErrIO means that reading failed, because of the disk or the network. What was read proves nothing about the file.
	ErrIO = errors.New("reading failed")
	// ErrVanished means that the file no longer exists, or is not the file that was probed.
	ErrVanished = errors.New("gone or replaced")
	// ErrNoVideoStream means that a media file has only audio or a cover image.
	ErrNoVideoStream = errors.New("no video stream")
	// ErrSeveralStreams means that one file has several videos, such as those of two lenses or programs.
	ErrSeveralStreams = errors.New("several video streams")
	// ErrDamaged means that the file is truncated, or parts of it do not decode.
	ErrDamaged = errors.New("damaged")
	// ErrUnsupported means that the file is intact, but of a kind that cannot be read or written.
	ErrUnsupported = errors.New("unsupported")
	// ErrLimit means that the file exceeds the Limits.
	ErrLimit = errors.New("over the limit")
	// ErrUnwritable means that the output's folder is missing, read-only or without write permission.
	ErrUnwritable = errors.New("cannot be written")
	// ErrNoSpace means that the disk, or a quota, is full.
	ErrNoSpace = errors.New("no space left")
	// ErrExists means that a file with the output's name exists. It is left as it is.
	ErrExists = errors.New("already exists")
	// ErrStalled means that a child process made no progress for ReadOptions.Stall or WriteOptions.Stall.
	ErrStalled = errors.New("no progress")
	// ErrVerification means that the output is not what was written, and would not be in another attempt either.
	ErrVerification = errors.New("failed verification")
	// ErrResume means that a video cannot be resumed, and has to be restarted from the beginning.
	ErrResume = errors.New("cannot resume")
	// ErrInterrupted means that ffmpeg or ffprobe was ended from outside by a signal, for example by the kernel when out
	// of memory.
	ErrInterrupted = errors.New("ffmpeg was interrupted")
	// ErrTool means that ffmpeg or ffprobe is missing, too old or incomplete, or failed for reasons other than the file.
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

// Permanent reports whether the file itself, or the output made from it, is the cause of err, so that every attempt
// fails the same way unless the file changes.
func Permanent(err error) bool {
	return slices.ContainsFunc([]error{
		ErrNotVideo, ErrNotPicture, ErrNoVideoStream, ErrSeveralStreams, ErrDamaged, ErrUnsupported, ErrLimit,
		ErrVerification,
	}, func(cause error) bool { return errors.Is(err, cause) })
}

// fileError returns an error with the file's path, the cause (one of those above), and a detail, which may be empty.
func fileError(path string, cause error, format string, args ...any) error {
	detail := strings.TrimSpace(fmt.Sprintf(format, args...))
	if detail == "" {
		return fmt.Errorf("%q: %w", path, cause)
	}
	return fmt.Errorf("%q: %w: %s", path, cause, detail)
}
