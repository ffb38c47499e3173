"""The process that decodes a video, started by `reader.videos.Video`.

Decoding happens in a process of its own because a decoder is a large program that is fed with
other people's files: on some damaged ones it does not end, or takes its process with it. Here it
can be ended hard without harm. It runs PyAV, that is FFmpeg's libraries, and not the program
`ffmpeg`, for three reasons. Errors come with the packet that caused them, where a program prints
them into a log, in which the lines of two threads run into each other. Each frame brings its own
time, size, colour tags and flags, so that nothing has to be derived from a nominal rate. And one
library reads and writes, with licences and versions that pip knows. What PyAV does not do is
done here: turning pictures upright, and taking the colour range that a frame is tagged with.

One thread decodes, since only so an error belongs to a packet for certain.
"""
