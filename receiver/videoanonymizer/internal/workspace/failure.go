// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"path/filepath"
	"regexp"
	"strings"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// advice maps the reason of a failure (media.Reason and others) to what the operator can do about it.
var advice = map[string]string{
	"not_picture": "Check that it opens in an image viewer, and that its extension is that of its format. If it opens, " +
		"save it as PNG or JPEG.",
	"not_video": "Check that the file plays in a video player. If it does, copy it again; if not, it is not a video.",
	"unreadable": "The collector is not allowed to read the file: check its owner and permissions, and then " +
		"try again.",
	"io_error":        "The disk or the network failed while the file was read: check them, and then try again.",
	"vanished":        "The file was moved, deleted or replaced while it was read: put it back.",
	"no_video_stream": "The file has audio or a picture, but no video: it needs no anonymization of this kind.",
	"several_streams": "The file holds several videos: split it, for example with ffmpeg -map, and drop the parts.",
	"damaged":         "Parts of the video cannot be decoded. Copy it again, or set on_damaged: salvage to keep the rest.",
	"unsupported": "Convert it to a common format: a picture to JPEG, a video for example with " +
		"ffmpeg -i IN -c:v libx264 OUT.mp4.",
	"limit":        "The video exceeds the limits in the configuration: raise them, and then try again.",
	"unwritable":   "The output folder cannot be written: check that it exists, and its owner and permissions.",
	"no_space":     "The disk is full: free up space, and then try again.",
	"exists":       "Another file took the output's name: try again, and the output gets a different name.",
	"stalled":      "ffmpeg made no progress: the disk or the network may hang. Check them, and then try again.",
	"verification": "The output was not what had been written, so it was discarded. Report this as a bug.",
	"interrupted": "Something terminated ffmpeg, such as the system when it ran out of memory: try again with fewer " +
		"at once.",
	"ffmpeg":             "ffmpeg failed for a reason of its own: see the message, and check its installation.",
	watch.ReasonCrash:    "The collector died each time it worked on this video. Report this as a bug.",
	watch.ReasonCanceled: "Somebody canceled it. Try again starts it over.",
}

// otherAdvice is for reasons that have no advice of their own.
const otherAdvice = "See the message and the collector's log, and then try again."

func (w *Workspace) failure(o watch.Overview, retried bool) *consoleapi.Failure {
	f := &consoleapi.Failure{Reason: o.Reason, Message: w.withoutPaths(errorText(o.Error), o.Path), Attempts: o.Attempt,
		Advice: advice[o.Reason], WillRetry: retried}
	if f.Advice == "" {
		f.Advice = otherAdvice
	}
	return f
}

type errorText string

func (e errorText) Error() string { return string(e) }

// anyPath matches what looks like an absolute path of more than one part.
var anyPath = regexp.MustCompile(`(?:/[^/\s"':;,]+){2,}/?`)

// withoutPaths returns the text of an error in which each path is reduced to its file name.
func (w *Workspace) withoutPaths(err error, path string) string {
	text := strings.ReplaceAll(err.Error(), path, filepath.Base(path))
	return anyPath.ReplaceAllStringFunc(text, filepath.Base)
}
