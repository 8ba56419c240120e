// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// PlayableType returns the media type under which browsers play a video as it is, or "" if they need a proxy: they know
// mp4, mov, Matroska and WebM, and in them H.264, VP8, VP9 and AV1 of 8 bits and 4:2:0. (Chromium plays H.264 in
// Matroska; Firefox does not.)
func (i Info) PlayableType() string {
	container := ""
	switch {
	case strings.HasPrefix(i.Container, "mov"):
		container = "video/mp4"
	case strings.HasPrefix(i.Container, "matroska"):
		if container = "video/webm"; i.Codec == "h264" {
			container = "video/x-matroska"
		}
	default:
		return ""
	}
	if !slices.Contains([]string{"h264", "vp8", "vp9", "av1"}, i.Codec) || !i.browserFormat() {
		return ""
	}
	return container
}

func (i Info) browserFormat() bool {
	return i.SourceFormat == "yuv420p" || i.SourceFormat == "yuvj420p"
}

const (
	// ProxyType is the media type of proxies.
	ProxyType = "video/mp4"
	// proxyWidth is the largest width of a proxy, unless the video is copied.
	proxyWidth = 1280
)

// Proxy writes a copy of a video that browsers can play to a new file at path: an mp4 with the same frames at the same
// times, without sound. H.264 is copied if the container allows that; everything else is encoded. If Proxy fails, it
// leaves no file.
func (t Tools) Proxy(ctx context.Context, info Info, path string) error {
	copied := info.Codec == "h264" && info.browserFormat()
	err := t.proxy(ctx, info, path, copied)
	if copied && err != nil && context.Cause(ctx) == nil { // AVI has no times; only decoding determines them
		err = t.proxy(ctx, info, path, false)
	}
	return err
}

func (t Tools) proxy(ctx context.Context, info Info, path string, copied bool) error {
	source, err := info.openAgain()
	if err != nil {
		return err
	}
	output, err := reserve(path)
	if err != nil {
		_ = source.Close()
		return err
	}
	if err = t.writeProxy(ctx, info, streams{source: source, output: output}, path, copied); err != nil {
		_ = os.Remove(path)
	}
	return err
}

// writeProxy closes the files of the streams.
func (t Tools) writeProxy(ctx context.Context, info Info, s streams, path string, copied bool) error {
	writer, err := t.start(ctx, t.FFmpeg, proxyArgs(info, copied), s, info.limits.writing(), nil)
	if err != nil {
		return fileError(path, ErrTool, "%v", err)
	}
	err = writer.waitWhile(path, defaultStall)
	text, failed := writer.complaints()
	switch {
	case context.Cause(ctx) != nil:
		return fileError(path, context.Cause(ctx), "")
	case errors.As(err, new(overLimit)):
		return fileError(path, ErrLimit, "%v", err)
	case errors.Is(err, ErrStalled):
		return fileError(path, ErrStalled, "no proxy was written for %s", defaultStall)
	case err != nil, copied && (failed || strings.Contains(text, "imestamp")):
		return fileError(path, encodeCause(text), "the proxy could not be made: %s", describe(text, err))
	}
	return nil
}

// proxyArgs make ffmpeg read the video on descriptor 3 and write its proxy to descriptor 4.
func proxyArgs(info Info, copied bool) []string {
	args := append(slices.Clone(quietArgs), "-y", "-fflags", "+genpts")
	args = append(append(args, inputArgs(info.limits)...), "-i", inputURL,
		"-map", "0:"+strconv.Itoa(info.StreamIndex), "-map_metadata", "-1", "-map_chapters", "-1")
	if copied {
		args = append(args, "-c:v", "copy")
	} else {
		args = append(args, "-vf", fmt.Sprintf("scale='min(%d,iw)':-2,format=yuv420p", proxyWidth),
			"-fps_mode", "passthrough", "-enc_time_base", "-1", "-c:v", "libx264", "-preset", "veryfast", "-crf", "23",
			"-g", "60", "-threads", "1")
	}
	return append(args, "-movflags", "+faststart", "-f", "mp4", outputURL)
}
