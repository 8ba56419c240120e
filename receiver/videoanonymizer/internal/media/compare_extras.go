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

// extras are what a file holds beside the pictures of its video stream.
type extras struct {
	streams  map[string]int // by kind: "sound", "subtitles" and so on; not the video stream
	chapters int
	tags     []string // key=value, without those that muxers write of themselves
	hdr      []string // kinds of metadata on high dynamic range, with their values
}

// extraKinds are the names of further streams, by ffprobe's, in the order that they are told in.
var extraKinds = []struct{ codecType, name string }{
	{"audio", "sound"}, {"subtitle", "subtitles"}, {"data", "data streams"}, {"attachment", "attachments"}, {"video", "further video streams"},
}

const covers = "covers"

// muxerTags are those that muxers write without being told to, in lower case, with what their values begin with.
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

// hdrSideData are ffmpeg's names of the metadata that displays of high dynamic range use.
var hdrSideData = []string{"Mastering display metadata", "Content light level metadata", "DOVI configuration record",
	"HDR Dynamic Metadata SMPTE2094-40 (HDR10+)", "Ambient viewing environment"}

type probedExtras struct {
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

// extras reads what else the file holds.
func (t Tools) extras(ctx context.Context, info Info) (extras, error) {
	what, err := t.probeExtras(ctx, info, "-show_entries",
		"stream=index,codec_type:stream_disposition=attached_pic:stream_side_data:stream_tags:chapter=id:chapter_tags:format_tags")
	if err != nil {
		return extras{}, err
	}
	first, err := t.probeExtras(ctx, info, "-select_streams", fmt.Sprint(info.StreamIndex), "-read_intervals", "%+#1",
		"-show_entries", "frame=pts:frame_side_data")
	if err != nil {
		return extras{}, err
	}
	what.Frames = first.Frames
	return what.sort(info.StreamIndex), nil
}

func (t Tools) probeExtras(ctx context.Context, info Info, args ...string) (p probedExtras, err error) {
	f, _, err := openSource(info.Path)
	if err != nil {
		return p, err
	}
	err = t.ask(ctx, info.Path, f, info.limits, &p, args...)
	return p, err
}

func (p probedExtras) sort(videoStream int) extras {
	e := extras{streams: map[string]int{}, chapters: len(p.Chapters)}
	e.addTags(p.Format.Tags)
	for _, c := range p.Chapters {
		e.addTags(c.Tags)
	}
	for _, s := range p.Streams {
		e.addTags(s.Tags)
		switch {
		case s.Index == videoStream:
			e.addHDR(s.SideData)
		case s.Disposition.AttachedPic != 0:
			e.streams[covers]++
		default:
			for _, kind := range extraKinds {
				if kind.codecType == s.Type {
					e.streams[kind.name]++
				}
			}
		}
	}
	for _, f := range p.Frames {
		e.addHDR(f.SideData)
	}
	slices.Sort(e.tags)
	e.tags = slices.Compact(e.tags)
	slices.Sort(e.hdr)
	e.hdr = slices.Compact(e.hdr)
	return e
}

func (e *extras) addTags(tags map[string]string) {
	for key, value := range tags {
		starts := muxerTags[strings.TrimSuffix(strings.ToLower(key), "-eng")]
		if !slices.ContainsFunc(starts, func(start string) bool { return strings.HasPrefix(value, start) }) {
			e.tags = append(e.tags, plain(key)+"="+plain(value))
		}
	}
}

// plain makes a short line of what a file says; it could hold what moves a terminal's cursor.
func plain(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "..."
	}
	quoted := strconv.Quote(s)
	return quoted[1 : len(quoted)-1]
}

func (e *extras) addHDR(sideData []map[string]any) {
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
		e.hdr = append(e.hdr, kind+" ("+strings.Join(values, ", ")+")")
	}
}

// compareExtras tells of what else the files hold.
func (c *Comparison) compareExtras(src, out extras, codec string) {
	names := []string{}
	for _, kind := range extraKinds {
		names = append(names, kind.name)
	}
	for _, name := range append(names, covers) {
		c.remains(name, src.streams[name], out.streams[name])
	}
	c.remains("chapters", src.chapters, out.chapters)
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
	if left == "" && codec != "hevc" && codec != "av1" { // no other carries them
		c.add("HDR metadata", hdr, left, sameOr(Expected, hdr == ""))
	} else {
		c.tell("HDR metadata", hdr, left)
	}
}

// remains tells of a number of things that are to be dropped.
func (c *Comparison) remains(what string, src, out int) {
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
