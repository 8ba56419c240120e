// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// heldReason says why a file is not picked up, worded for the log.
type heldReason string

// HeldByWriter is Overview.Held of a file that is not complete because a program has it open for writing.
const HeldByWriter = "a program has it open for writing"

const (
	heldPartial  heldReason = "its name marks it as incomplete"
	heldKind     heldReason = "its extension says that it is neither a video nor a picture"
	heldSheet    heldReason = "its name is that of a contact sheet"
	heldChanging heldReason = "it is still changing"
	heldWriter   heldReason = HeldByWriter
	heldUnknown  heldReason = "a program may still be writing to it, so it has to stay unchanged for longer"
)

// final reports whether a file that is held for this reason is never picked up.
func (h heldReason) final() bool { return h == heldKind || h == heldSheet }

// partialSuffixes are what browsers, download managers, and copy and sync tools append to the names of incomplete
// files.
var partialSuffixes = []string{
	".part", ".partial", ".filepart", ".tmp", ".temp", ".crdownload", ".download", ".opdownload", ".aria2",
	".!qb", ".!ut", ".!bt", ".bc!", ".dtapart", ".unconfirmed", ".swp", "~",
}

// neverVideoExtensions are the extensions of files that cameras, recorders, editors and copy tools put next to videos,
// and that are never videos themselves. The list is short on purpose: a file with any other extension, or with none, is
// tried, since a video may have any name. Proxies (.lrv) and animations (.gif) are videos.
var neverVideoExtensions = map[string]bool{
	// thumbnails, and picture formats that are not supported
	".thm": true, ".bmp": true, ".dng": true, ".cr2": true, ".cr3": true, ".nef": true, ".arw": true,
	// audio: spoken notes, separate audio tracks
	".wav": true, ".mp3": true, ".aac": true, ".m4a": true, ".flac": true, ".wma": true,
	// subtitles, GPS positions, other text tracks
	".srt": true, ".ass": true, ".vtt": true, ".idx": true, ".gpx": true, ".nmea": true, ".kml": true, ".fit": true,
	// metadata of a clip or a card: XML of Sony and Canon, tables of AVCHD and DVD
	".xml": true, ".xmp": true, ".json": true, ".csv": true, ".txt": true, ".log": true, ".nfo": true, ".pdf": true,
	".ini": true, ".inf": true, ".url": true, ".htm": true, ".html": true, ".md": true, ".ifo": true, ".bup": true,
	".bdm": true, ".mpl": true, ".cpi": true, ".moi": true, ".ctg": true, ".ind": true,
	// checksums
	".md5": true, ".sha1": true, ".sha256": true, ".sfv": true,
}

// pictureExtensions maps the extensions of still pictures to those of their outputs: HEIC is written as JPEG.
var pictureExtensions = map[string]string{
	".jpg": ".jpg", ".jpeg": ".jpeg", ".png": ".png", ".webp": ".webp", ".tif": ".tif", ".tiff": ".tiff",
	".heic": ".jpg", ".heif": ".jpg", ".hif": ".jpg",
}

// IsPicture reports whether a file is processed as a still picture, by its extension.
func IsPicture(path string) bool { return PictureExtension(path) != "" }

// PictureExtension returns the extension, with its dot, of the output of a picture with this name, or "" if the name is
// not that of a picture.
func PictureExtension(path string) string {
	return pictureExtensions[strings.ToLower(filepath.Ext(path))]
}

// sheetSuffix ends the names of contact sheets, which show outputs and may be next to them in a watched folder.
const sheetSuffix = ".review.jpg"

// heldByKind returns why files with this name are not picked up unless the include pattern names their extension, as
// *.wav does and * does not; empty if they are.
func heldByKind(name string, pictures bool) heldReason {
	ext := strings.ToLower(path.Ext(name))
	if neverVideoExtensions[ext] || !pictures && IsPicture(name) {
		return heldKind
	}
	return ""
}

// ignoredNames are the names, in lower case, of files and folders that operating systems and network storage leave on a
// disk. Recycle bins hold deleted videos.
var ignoredNames = map[string]bool{
	"thumbs.db": true, "desktop.ini": true, "system volume information": true, "$recycle.bin": true, "recycler": true,
	"#recycle": true, "@eadir": true, "__macosx": true,
}

// ignoredName reports whether files and folders with this name are ignored without logging: hidden ones, and those that
// operating systems leave.
func ignoredName(name string) bool {
	return strings.HasPrefix(name, ".") || ignoredNames[strings.ToLower(name)]
}

// partialName reports whether a name marks a file as incomplete.
func partialName(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(partialSuffixes, func(suffix string) bool { return strings.HasSuffix(name, suffix) })
}

// partialFiles maps the name of each file for which a partial file exists, too, to the name of that partial file.
// Browsers and aria2 reserve the final name this way. It may return nil.
func partialFiles(entries []fs.DirEntry) map[string]string {
	var partial map[string]string
	for _, entry := range entries {
		name := entry.Name()
		lower := strings.ToLower(name)
		for _, suffix := range partialSuffixes {
			if strings.HasSuffix(lower, suffix) && suffix != "~" {
				if partial == nil {
					partial = map[string]string{}
				}
				partial[name[:len(name)-len(suffix)]] = name
			}
		}
	}
	return partial
}
