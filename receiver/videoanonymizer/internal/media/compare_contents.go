// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// contents are what a file contains besides the frames of its video stream.
type contents struct {
	streams  map[string]int // by kind: "sound", "subtitles" and so on; without the video stream
	video    []VideoStream  // if there are several
	chapters int
	tags     []string // key=value, without those that muxers write by themselves
	hdr      []string // kinds of metadata about high dynamic range, with their values
}

// streamKinds are the row names of streams by ffprobe's types, in the order of the rows.
var streamKinds = []struct{ codecType, name string }{
	{"audio", "sound"}, {"subtitle", "subtitles"}, {"data", "data streams"}, {"attachment", "attachments"},
	{"video", furtherVideo},
}

const (
	covers       = "covers"
	furtherVideo = "other video streams"
)

// muxerTags are the tags that muxers write by themselves, in lower case, with the beginnings of their values.
var muxerTags = map[string][]string{
	"encoder":           {"Lavf", "Lavc"},
	"major_brand":       {""},
	"minor_version":     {""},
	"compatible_brands": {""},
	"duration":          {""},
	"handler_name":      {"VideoHandler"},
	"vendor_id":         {"[0][0][0][0]", "FFMP"},
	"language":          {"und"},
}

// hdrSideData are ffmpeg's names for the metadata for displays of high dynamic range.
var hdrSideData = []string{"Mastering display metadata", "Content light level metadata", "DOVI configuration record",
	"HDR Dynamic Metadata SMPTE2094-40 (HDR10+)", "Ambient viewing environment"}

type probedContents struct {
	Streams []struct {
		Index       int              `json:"index"`
		Type        string           `json:"codec_type"`
		SideData    []map[string]any `json:"side_data_list"`
		Disposition struct {
			AttachedPic int `json:"attached_pic"`
		} `json:"disposition"`
		Tags map[string]string `json:"tags"`
	} `json:"streams"`
	Frames []struct {
		SideData []map[string]any `json:"side_data_list"`
	} `json:"frames"`
	Chapters []struct {
		Tags map[string]string `json:"tags"`
	} `json:"chapters"`
	Format struct {
		Tags map[string]string `json:"tags"`
	} `json:"format"`
}

// contents probes what else a file contains.
func (t Tools) contents(ctx context.Context, info Info) (contents, error) {
	p, err := t.probeContents(ctx, info, "-show_entries", "stream=index,codec_type:stream_disposition=attached_pic:"+
		"stream_side_data:stream_tags:chapter=id:chapter_tags:format_tags")
	if err != nil {
		return contents{}, err
	}
	first, err := t.probeContents(ctx, info, "-select_streams", fmt.Sprint(info.StreamIndex),
		"-read_intervals", "%+#1", "-show_entries", "frame=pts:frame_side_data")
	if err != nil {
		return contents{}, err
	}
	p.Frames = first.Frames
	c := p.contents(info.StreamIndex)
	c.video = info.Streams
	return c, nil
}

func (t Tools) probeContents(ctx context.Context, info Info, args ...string) (p probedContents, err error) {
	f, err := info.openAgain()
	if err != nil {
		return p, err
	}
	err = t.ask(ctx, info.Path, f, info.limits, &p, args...)
	return p, err
}

func (p probedContents) contents(videoStream int) contents {
	c := contents{streams: map[string]int{}, chapters: len(p.Chapters)}
	c.addTags(p.Format.Tags)
	for _, chapter := range p.Chapters {
		c.addTags(chapter.Tags)
	}
	for _, s := range p.Streams {
		c.addTags(s.Tags)
		switch {
		case s.Index == videoStream:
			c.addHDR(s.SideData)
		case s.Disposition.AttachedPic != 0:
			c.streams[covers]++
		default:
			for _, kind := range streamKinds {
				if kind.codecType == s.Type {
					c.streams[kind.name]++
				}
			}
		}
	}
	for _, f := range p.Frames {
		c.addHDR(f.SideData)
	}
	slices.Sort(c.tags)
	c.tags = slices.Compact(c.tags)
	slices.Sort(c.hdr)
	c.hdr = slices.Compact(c.hdr)
	return c
}

func (c *contents) addTags(tags map[string]string) {
	for key, value := range tags {
		starts := muxerTags[strings.TrimSuffix(strings.ToLower(key), "-eng")]
		if !slices.ContainsFunc(starts, func(start string) bool { return strings.HasPrefix(value, start) }) {
			c.tags = append(c.tags, plain(key)+"="+plain(value))
		}
	}
}

// plain turns text from a file into a short line without control characters that a terminal would interpret.
func plain(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "..."
	}
	quoted := strconv.Quote(s)
	return quoted[1 : len(quoted)-1]
}

func (c *contents) addHDR(sideData []map[string]any) {
	for _, d := range sideData {
		kind, _ := d["side_data_type"].(string)
		if !slices.Contains(hdrSideData, kind) {
			continue
		}
		var values []string
		for _, key := range slices.Sorted(maps.Keys(d)) {
			if key != "side_data_type" {
				values = append(values, fmt.Sprintf("%s %v", key, d[key]))
			}
		}
		c.hdr = append(c.hdr, kind+" ("+strings.Join(values, ", ")+")")
	}
}

// compareContents adds what else the files contain.
func (c *Comparison) compareContents(src, out contents, codec string) {
	names := []string{}
	for _, kind := range streamKinds {
		names = append(names, kind.name)
	}
	for _, name := range append(names, covers) {
		c.addDropped(name, src.streams[name], out.streams[name])
	}
	for i := range c.Rows {
		if c.Rows[i].What == furtherVideo && src.streams[furtherVideo] > 0 {
			c.Rows[i].Source = describeStreams(src.video)
		}
	}
	c.addDropped("chapters", src.chapters, out.chapters)
	tags, kept := strings.Join(src.tags, ", "), strings.Join(out.tags, ", ")
	switch {
	case kept != "":
		c.add("tags", tags, kept, Kept)
	case tags != "":
		c.add("tags", tags, "", Dropped)
	default:
		c.add("tags", "", "", Same)
	}
	hdr, left := strings.Join(src.hdr, "; "), strings.Join(out.hdr, "; ")
	if left == "" && codec != "hevc" && codec != "av1" { // no other codec carries it
		c.add("HDR metadata", hdr, left, sameOr(Expected, hdr == ""))
	} else {
		c.addEqual("HDR metadata", hdr, left)
	}
}

// addDropped adds a count of things that should be dropped.
func (c *Comparison) addDropped(what string, src, out int) {
	v := Same
	switch {
	case out > 0:
		v = Kept
	case src > 0:
		v = Dropped
	}
	text := func(n int) string {
		if n == 0 {
			return ""
		}
		return fmt.Sprint(n)
	}
	c.add(what, text(src), text(out), v)
}
