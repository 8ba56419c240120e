// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// container is a file format that can be written. Each codec lists the containers that hold it.
type container struct {
	name  string // as WriteOptions.Container names it
	muxer string // ffmpeg's name
	// extensions are those of sources, in lower case, that are written in this container if WriteOptions.Container is
	// SameAsSource.
	extensions []string
	encode     []string // further arguments of the encoder: no B-frames if the container cannot store their order
	args       func(p Plan) []string
	audio      string // the encoder for audio that is not copied
	// unit is the unit of its times in seconds, "" for the unit of the segments.
	unit string
	// coarse means that it rounds times to its own unit.
	coarse bool
	// signed means that it keeps times before zero, at which audio may begin.
	signed bool
	// fromZero means that its times begin at zero; otherwise they are the source's. late means that it shows a whole video
	// a little later if the video begins so close to zero that its decoding times would be negative.
	fromZero, late bool
}

// containers are the containers that can be written, in the order in which they are listed for users.
var containers = []container{
	{
		name: "mp4", muxer: "mp4", extensions: []string{"mp4", "m4v"}, args: movArgs,
		signed: true, audio: "aac",
	},
	{
		name: "mov", muxer: "mov", extensions: []string{"mov", "qt"}, args: movArgs,
		signed: true, audio: "aac",
	},
	{
		name: "mkv", muxer: "matroska", extensions: []string{"mkv", "mxf", "nut", "ogv", "wmv", "asf"},
		unit: "0.001", coarse: true, audio: "flac",
	},
	{
		name: "webm", muxer: "webm", extensions: []string{"webm"},
		unit: "0.001", coarse: true, audio: "libopus",
	},
	{
		name: "avi", muxer: "avi", extensions: []string{"avi", "divx"}, encode: []string{"-bf", "0"}, args: aviArgs,
		fromZero: true, audio: "ac3",
	},
	{
		name: "ts", muxer: "mpegts", extensions: []string{"ts", "mts", "m2ts", "m2t"}, args: tsArgs,
		coarse: true, late: true, signed: true, audio: "aac",
	},
}

// findContainer returns the container with this name in WriteOptions.
func findContainer(name string) (container, bool) {
	i := slices.IndexFunc(containers, func(c container) bool { return c.name == name })
	if i < 0 {
		return container{}, false
	}
	return containers[i], true
}

// codecs returns the names of the codecs that the container can hold.
func (c container) codecs() (names []string) {
	for _, codec := range codecs {
		if slices.Contains(codec.containers, c.name) {
			names = append(names, codec.name)
		}
	}
	return names
}

// codecFor returns the codec to write for the one that is asked for: the same, or another in place of a default that
// does not fit.
func (c container) codecFor(asked string) string {
	if can := c.codecs(); asked == defaultCodec && !slices.Contains(can, asked) {
		return can[0]
	}
	return asked
}

// Containers returns the values of WriteOptions.Container.
func Containers() []string { return withSame(containers, func(c container) string { return c.name }) }

// ContainerCodecs returns the values of WriteOptions.Codec, other than SameAsSource, that go with a value of
// WriteOptions.Container; nil for SameAsSource, where it depends on the source, and if there is no such container.
func ContainerCodecs(container string) []string {
	c, ok := findContainer(container)
	if !ok {
		return nil
	}
	names := c.codecs()
	if !slices.Contains(names, defaultCodec) {
		names = append(names, defaultCodec) // another codec is written in its place
	}
	return names
}

// CodecIn returns the codec that is written for a pair of values of WriteOptions.Container and WriteOptions.Codec:
// "h264" becomes vp9 in WebM. All other codecs are returned as they are.
func CodecIn(container, codec string) string {
	c, ok := findContainer(container)
	if !ok {
		return codec
	}
	return c.codecFor(codec)
}

// ContainerFor returns the container of the output for a source with this name, as WriteOptions.Container names it. It
// has no dot, so it serves as the file's extension too. The source's extension decides: the same container if it can be
// written, else mkv for formats that keep time in milliseconds or finer, and mp4 for all others.
func ContainerFor(path string) string {
	extension := strings.ToLower(strings.TrimPrefix(filepath.Ext(path), "."))
	for _, c := range containers {
		if slices.Contains(c.extensions, extension) {
			return c.name
		}
	}
	return "mp4"
}

// aviArgs set the frame rate.
func aviArgs(p Plan) []string {
	return []string{"-r", fmt.Sprintf("%d/%d", p.timeBase.Den, p.timeBase.Num)}
}

// tsArgs keep the source's clock.
func tsArgs(Plan) []string { return []string{"-muxdelay", "0", "-muxpreload", "0"} }

// movArgs keep the source's clock, and put the index first so that players can start before they have the whole file.
func movArgs(p Plan) []string {
	args := []string{"-movflags", "+faststart", "-video_track_timescale", strconv.FormatInt(p.info.TimeBase.Den, 10)}
	if p.codec.name == "h265" {
		args = append(args, "-tag:v", "hvc1") // the tag that Apple's players require
	}
	return args
}
