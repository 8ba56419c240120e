// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"bytes"
	"strconv"
)

// shown is what ffmpeg's filter showinfo says about a frame.
type shown struct {
	pts    int64
	hasPTS bool
}

var (
	showinfoStart = []byte("[Parsed_showinfo_")
	showinfoCount = []byte("] n:")
	showinfoPTS   = []byte(" pts:")
	noPTS         = []byte("NOPTS")
)

// parseShown reads a line of stderr such as
//
//	[Parsed_showinfo_0 @ 0x55be8117efc0] [info] n:   1 pts:   1001 pts_time:0.0333667 pos: ...
//
// ours reports whether the line is showinfo's at all, frame whether it announces a frame. Metadata of a file cannot
// look like this, since ffmpeg prints it indented and after a level.
func parseShown(line []byte) (s shown, ours, frame bool) {
	if !bytes.HasPrefix(line, showinfoStart) {
		return shown{}, false, false
	}
	i := bytes.Index(line, showinfoCount)
	if i < 0 {
		// Side data and colors. The filter's errors are not handled here.
		return shown{}, level(line) == "info", false
	}
	rest := line[i+len(showinfoCount):]
	i = bytes.Index(rest, showinfoPTS)
	if i < 0 {
		return shown{}, true, false
	}
	rest = bytes.TrimLeft(rest[i+len(showinfoPTS):], " ")
	if bytes.HasPrefix(rest, noPTS) {
		return shown{}, true, true
	}
	if end := bytes.IndexByte(rest, ' '); end >= 0 {
		rest = rest[:end]
	}
	pts, err := strconv.ParseInt(string(rest), 10, 64)
	return shown{pts: pts, hasPTS: err == nil}, true, true
}
