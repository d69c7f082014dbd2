"""A room: one service that many people share, each with a key and work of their own.

    service = connect("http://192.168.1.5:8765", key="room-…")      how a notebook joins, see connection.py
"""
