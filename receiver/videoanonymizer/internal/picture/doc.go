// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package picture reads still pictures as frames for the pipeline, and writes them masked in their own format: JPEG,
// PNG, WebP or TIFF. HEIC becomes JPEG.
//
//	file, err := picture.Read(path, limits) // its header
//	p, err := file.Decode(ctx, tools)
//	frames := p.Frames()                    // upright, for the pipeline to mask in place
//	err = p.Write(ctx, temp, frames, opts)  // encodes, reads that again, and compares
//
// The decoders are those of Go's standard library and of golang.org/x/image. Pictures come from anywhere, but these
// decoders are memory-safe: a hostile file can cause an error, a panic (which File.Decode turns into an error), or cost
// time and memory, which the header bounds before anything is decoded. So they do not need a separate process, and a
// burst of pictures does not start one process per picture. The boxes of a HEIC are read here, and media.Tools decodes
// the HEVC in them.
//
// An output consists of pixels and of what is listed here, so that nothing else gets through: no thumbnail, second
// picture, depth map, comment, data after the end, or padding.
//   - Orientation (of JPEG only: other formats are written upright), pixel density, and the tags in Options.Keep.
//   - What colors depend on: an ICC profile, rebuilt from the parts that a color conversion uses (icc.go), and the PNG
//     chunks that describe colors.
package picture
